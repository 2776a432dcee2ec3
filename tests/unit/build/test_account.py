"""Which steps count in the sum of a build, and how."""

from __future__ import annotations

import pytest

from wherry.base.events import Tally
from wherry.build.account import EXACT, EXECUTED, OBSERVED, Account, Went, counts, tally


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("[2/5] RUN make", True),
        ("[builder 2/5] COPY . .", True),
        ("[a 3/5] WORKDIR /from", True),
        ("[2/5] RUN echo '] FROM x'", True),
        ("[1/5] FROM busybox", False),
        ("[builder 1/5] FROM context 'x'", False),
        ("[internal] mount the build context", False),
        ("FROM alpine", False),
        ("", False),
    ],
)
def test_steps_that_do_something_count(name: str, expected: bool) -> None:
    assert counts(name) is expected


def test_what_is_saved_is_what_the_reused_ones_took() -> None:
    steps = {
        "[1/5] FROM a": Went(EXACT, 100),
        "[2/5] WORKDIR /": Went(EXACT, 1),
        "[3/5] COPY . .": Went(EXECUTED, 2),
        "[4/5] RUN a": Went(OBSERVED, 40),
        "[5/5] RUN b": Went(),
    }
    assert tally(steps, Account(3, tuple(steps.values()))) == Tally(4, 2, 1, 0, 3, 41)
