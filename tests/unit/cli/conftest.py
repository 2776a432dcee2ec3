"""Commands called in this process, on a store of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.cli.main import main
from wherry.store.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The one that commands open."""
    monkeypatch.setenv("WHERRY_ROOT", str(tmp_path / "store"))
    return Store.open()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def command(*words: str, code: int = 0) -> str:
        """stdout, and stderr behind it."""
        assert main(words) == code
        return "".join(capsys.readouterr())

    return command
