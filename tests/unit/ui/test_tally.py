"""The line that sums a build up."""

from __future__ import annotations

import io
import json

import pytest

from wherry.base.events import Tally
from wherry.ui import layout, tally
from wherry.ui.board import Board
from wherry.ui.progress import display
from wherry.ui.units import span


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (Tally(7, 5, 2, 0, 3.12, 41.2), "7 steps: 5 reused, 2 run, 3.1 s; saved 41 s"),
        (Tally(5, 5, 0, 0, 0.06, 41.2), "5 steps: all reused, 0.1 s; saved 41 s"),
        (Tally(5, 0, 5, 0, 3.0, 0), "5 steps: all run, 3.0 s"),
        (Tally(1, 1, 0, 0, 0.01, 0.04), "1 step: reused, 0.0 s"),
        (Tally(4, 2, 1, 1, 2.0, 0.2), "4 steps: 2 reused, 1 run, 1 failed, 2.0 s; saved 0.2 s"),
        (Tally(4, 1, 0, 1, 2.0, 0), "4 steps: 1 reused, 1 failed, 2.0 s"),
        (Tally(4, 1, 0, 0, 2.0, 0), "4 steps: 1 reused, 2.0 s"),
        (Tally(0, 0, 0, 0, 0.1, 0), ""),
    ],
)
def test_a_build_in_one_line(counts: Tally, text: str) -> None:
    assert tally.line(counts) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.5, "1 min 40 s"),
        (125, "2 min 5 s"),
        (599.4, "9 min 59 s"),
        (599.6, "10 min"),
        (700, "12 min"),
        (3569, "59 min"),
        (3570, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (35969, "9 h 59 min"),
        (37900, "11 h"),
        (3_600_000, "1000 h"),
    ],
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text


COUNTS = Tally(7, 5, 2, 0, 3.1, 41.2)


def shown(mode: str, counts: Tally) -> str:
    stream = io.StringIO()
    with display(mode, stream) as emit:
        emit(counts)
    return stream.getvalue()


def test_it_is_told_in_every_form_but_quiet() -> None:
    assert shown("plain", COUNTS) == "7 steps: 5 reused, 2 run, 3.1 s; saved 41 s\n"
    assert json.loads(shown("rawjson", COUNTS)) == {
        "event": "tally",
        "steps": 7,
        "reused": 5,
        "executed": 2,
        "failed": 0,
        "seconds": 3.1,
        "saved": 41.2,
    }
    assert shown("quiet", COUNTS) == ""
    board = Board(0)
    assert layout.tally(board) == []
    board.take(COUNTS, 1)
    assert [line.text for line in layout.tally(board)] == ["    7 steps: 5 reused, 2 run, 3.1 s; saved 41 s"]


def test_a_build_in_which_no_step_counts_says_nothing() -> None:
    nothing = Tally(0, 0, 0, 0, 0.1, 0)
    assert shown("plain", nothing) == ""
    board = Board(0)
    board.take(nothing, 1)
    assert layout.tally(board) == []
