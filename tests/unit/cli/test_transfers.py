"""Lines of pulls and pushes, in a pipe and on a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator

import pytest

from wherry.base.events import Note, Transfer
from wherry.cli.transfers import PULL, PUSH, Transfers


def test_lines_in_a_pipe() -> None:
    stream = io.StringIO()
    with Transfers(PULL, stream) as emit:
        for event in (("have", 9, 9), ("new", 0, 9), ("new", 4, 9), ("new", 9, 9)):
            emit(Transfer(0, *event))
    assert stream.getvalue() == "have: Already exists\nnew: Pull complete\n"


def test_waiting_is_not_moving() -> None:
    stream = io.StringIO()
    with Transfers(PUSH, stream) as emit:
        emit(Transfer(0, "a", 0, 0))
        emit(Transfer(0, "a", 5, 5))
        emit(Transfer(0, "b", 0, 0))
        emit(Transfer(0, "b", 0, 5))
        emit(Transfer(0, "b", 5, 5))
    assert stream.getvalue() == "a: Layer already exists\nb: Pushed\n"


def test_quiet_shows_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with Transfers(PULL, stream, quiet=True) as emit:
        emit(Transfer(0, "a", 5, 5))
        emit(Note("warning", "of another platform"))
    assert stream.getvalue() == ""
    assert capsys.readouterr().err == "warning: of another platform\n"


@pytest.fixture
def terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal of 20 rows and 70 columns: what is written to it, and where it is read."""
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
    with open(side, "w") as stream:
        yield stream, main
    os.close(main)


def test_bars_on_a_terminal(terminal: tuple[io.TextIOWrapper, int], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, main = terminal
    monkeypatch.setenv("TERM", "xterm")
    with Transfers(PULL, stream) as emit:
        emit(Transfer(0, "layer", 0, 2_000_000))
        emit._next = 0.0
        emit(Transfer(0, "layer", 1_000_000, 2_000_000))
        emit(Transfer(0, "layer", 2_000_000, 2_000_000))
    shown = ""
    while "Pull complete\r\n" not in shown:
        shown += os.read(main, 10_000).decode()
    bar = "=" * 15 + ">" + " " * 14
    assert f"layer: Downloading [{bar}] 1.00MB/2.00MB" in shown
    assert "\x1b[1F\x1b[J" in shown
    assert shown.endswith("layer: Pull complete\r\n")
    assert all(len(line) < 70 for line in shown.split("\r\n"))
