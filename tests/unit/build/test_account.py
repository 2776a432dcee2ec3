"""Which steps count in the sum of a build, and how."""

from __future__ import annotations

import json

import pytest

from wherry.base import values
from wherry.base.events import Tally
from wherry.build.account import (
    BASE,
    DIFFERS,
    EXACT,
    EXECUTED,
    OBSERVED,
    Account,
    Change,
    Difference,
    Miss,
    Went,
    counts,
    tally,
    written,
)
from wherry.oci.digest import Digest


def test_what_is_written_is_read_again() -> None:
    layer = Digest("sha256:" + "a" * 64)
    miss = Miss(
        DIFFERS,
        "",
        (Difference("a\udcff", ("content", "mode"), 1),),
        3,
        (Change("ENV", "A", None, "1"),),
        layer,
    )
    steps = (
        Went(BASE, changes=(Change("image"),)),
        Went(EXACT, 1.5, layer),
        Went(OBSERVED, 2, layer, 3, 1, ("a",)),
        Went(EXECUTED, 1, None, miss=miss, unobserved="why"),
        Went(),
    )
    account = Account(1.5, steps, 7, "keep")
    text = json.dumps(written(account))
    assert values.decode(Account, json.loads(text)) == account
    assert json.loads(text)["steps"][-1] == {}


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
