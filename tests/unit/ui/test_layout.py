"""The live view's lines, for any size of terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wherry.base.events import Cached, Done, Event, Failed, Note, Output, Started, Transfer
from wherry.ui import layout
from wherry.ui.board import Board

EVENTS = st.lists(
    st.one_of(
        st.builds(Started, st.integers(1, 8), st.text(max_size=60), st.just(0.0)),
        st.builds(Output, st.integers(1, 8), st.just(1), st.binary(max_size=80), st.just(0.0)),
        st.builds(
            Transfer, st.integers(1, 8), st.text(max_size=30), st.integers(0, 10**10), st.integers(0, 10**10)
        ),
        st.builds(Done, st.integers(1, 8), st.just(1.0)),
    ),
    max_size=40,
)


def board(*events: Event) -> Board:
    result = Board(0.0)
    for event in events:
        result.take(event, 1.0)
    return result


def texts(result: Board, columns: int = 60, rows: int = 20) -> list[str]:
    return [line.text for line in layout.live(result, "Building", 2.0, columns, rows)]


@given(EVENTS, st.integers(1, 120), st.integers(1, 30))
def test_lines_fit_and_obey_nothing(events: list[Event], columns: int, rows: int) -> None:
    lines = texts(board(*events), columns, rows)
    assert len(lines) <= rows
    assert all(layout.width(line) <= columns for line in lines)
    assert not any(character < " " for line in lines for character in line)


def test_a_running_step_shows_its_time_and_its_last_lines() -> None:
    lines = texts(
        board(Started(1, "RUN make", 0.5), Output(1, 1, b"".join(b"%d\n" % n for n in range(9)), 1.0)), 30
    )
    assert lines == ["[+] Building 2.0s (0/1)", " => RUN make              1.5s"] + [
        f" => => # {number}" for number in range(3, 9)
    ]


def test_output_that_writes_over_itself_shows_its_last_state() -> None:
    result = board(Started(1, "RUN x", 0.0), Output(1, 1, b"a\r\n10%\r20%", 0.0), Output(1, 1, b"\r30%", 0.0))
    assert texts(result)[2:] == [" => => # a", " => => # 30%"]


def test_steps_that_print_letter_by_letter_at_once_do_not_mix() -> None:
    said = {1: b"one 10%\rone 20%\nfirst\nfir", 2: b"two 30%\rtwo 40%\nsecond\nse"}
    letters = [
        Output(vertex, 1, bytes([letter]), 0.0)
        for pair in zip(*said.values(), strict=True)
        for vertex, letter in zip(said, pair, strict=True)
    ]
    result = board(Started(1, "RUN one", 0.0), Started(2, "RUN two", 0.0), *letters)
    assert [step.tail() for step in result.running()] == [
        ["one 20%", "first", "fir"],
        ["two 40%", "second", "se"],
    ]


def test_transfers_have_bars_and_vanish_when_complete() -> None:
    result = board(
        Started(1, "FROM x", 0.0),
        Transfer(1, "sha256:" + "ab" * 32, 500, 1000),
        Transfer(1, "sha256:" + "cd" * 32, 1000, 1000),
        Transfer(1, "manifest", 77, 0),
    )
    assert texts(result, 80)[2:] == [
        " => => 1 of 3 done",
        " => => abababababab" + ("[==========>         ] " + "500B / 1.00kB".rjust(21)).rjust(61),
        " => => manifest" + "77B".rjust(65),
    ]


def test_more_steps_than_rows() -> None:
    lines = texts(board(*(Started(number, f"RUN {number}", 0.0) for number in range(1, 10))), rows=5)
    assert [line.split("  ")[0] for line in lines[1:]] == [
        " => RUN 1",
        " => RUN 2",
        " => RUN 3",
        " => and 6 more",
    ]


def test_every_running_step_gets_its_share_of_the_rows() -> None:
    output = b"".join(b"line\n" for _ in range(9))
    lines = texts(
        board(*(e for n in (1, 2, 3) for e in (Started(n, f"RUN {n}", 0.0), Output(n, 1, output, 0.0)))),
        rows=13,
    )
    assert [line.split("  ")[0] for line in lines if "#" not in line][1:] == [
        " => RUN 1",
        " => RUN 2",
        " => RUN 3",
    ]
    assert len([line for line in lines if "#" in line]) == 9


def test_lines_that_stay() -> None:
    result = board(
        Cached(1, "FROM x"),
        Started(2, "RUN make", 0.0),
        Note("warning", "careful"),
        Done(2, 12.345),
        Started(3, "RUN false", 0.0),
        Failed(3, "exit code: 1"),
    )
    assert [layout.lasting(item, 30) for item in result.fresh] == [
        layout.Line(" => CACHED FROM x         0.0s", "cyan"),
        layout.Line("WARNING: careful", "yellow"),
        layout.Line(" => RUN make             12.3s", ""),
        layout.Line(" => ERROR RUN false       1.0s", "bold red"),
    ]
    assert layout.total(result, "Building", 20.0, finished=True).text == "[+] Building 20.0s (3/3) FINISHED"
