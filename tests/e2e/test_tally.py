"""The line at the end of a build, from what is recorded."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.needs("root", "busybox")

DOCKERFILE = "FROM busybox\nWORKDIR /{name}\nCOPY a.txt b.txt ./\nRUN sleep 1; cat a.txt > /tmp/{name}\n"


def line(told: str) -> str:
    (found,) = re.findall(r"^\d+ steps?: .*$", told, re.MULTILINE)
    assert told.rstrip().endswith(found)
    return re.sub(r"\b(\d+\.\d|\d+) s\b", "X", found)


def test_what_was_reused_and_what_that_saved(built: Callable[..., str]) -> None:
    dockerfile = DOCKERFILE.format(name="tally-of-a-build")
    assert line(built(dockerfile, a_txt="1", b_txt="2")) == "3 steps: all run, X"
    assert line(built(dockerfile, a_txt="1", b_txt="3")) == "3 steps: 2 reused, 1 run, X; saved X"
    told = built(dockerfile, a_txt="1", b_txt="3")
    assert line(told) == "3 steps: all reused, X; saved X"
    saved = re.search(r"saved (\S+) s", told)
    assert saved is not None
    assert float(saved[1]) >= 1
    assert line(built(dockerfile, "--no-cache", a_txt="1", b_txt="3")) == "3 steps: all run, X"
