from __future__ import annotations

import pytest

from wherry.base.errors import WherryError
from wherry.build import times


def test_the_default_is_the_beginning_of_1980(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert times.rfc3339(times.epoch()) == "1980-01-01T00:00:00Z"


def test_a_build_argument_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert times.epoch() == 5
    assert times.epoch("7") == 7


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "tomorrow", "99999999999", pytest.param("9" * 5000, id="long"), "\u0661"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(WherryError, match="SOURCE_DATE_EPOCH"):
        times.epoch(text)
