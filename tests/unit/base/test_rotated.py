"""Files of lines that are turned over while they are read: every line comes once, in order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.base import rotated

KEEP = 3
LINES = st.lists(st.sampled_from([b"", b"short", b"x" * 200_000]), max_size=3)
TURNS = st.lists(LINES, max_size=KEEP - 1)
"""What is written between two reads: at each comma the file is turned over."""


@contextmanager
def log() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/log"


def append(path: str, raw: bytes) -> None:
    with open(path, "ab") as file:
        file.write(raw)


def write(path: str, lines: list[bytes]) -> None:
    append(path, b"".join(line + b"\n" for line in lines))


@settings(max_examples=30)
@given(st.lists(TURNS, max_size=4))
def test_a_follower_misses_nothing_that_is_turned_over(batches: list[list[list[bytes]]]) -> None:
    with log() as path:
        waiting = list(batches)
        written: list[bytes] = []

        def over() -> bool:
            if not waiting:
                return True
            for number, lines in enumerate(waiting.pop(0)):
                if number and os.path.exists(path):
                    rotated.turn(path, KEEP)
                write(path, lines)
                written.extend(lines)
            return False

        assert list(rotated.follow(path, over=over)) == written


@given(st.lists(LINES, max_size=KEEP), st.integers(0, 12))
def test_the_last_lines_are_found_across_files(files: list[list[bytes]], tail: int) -> None:
    with log() as path:
        for number, lines in enumerate(files):
            if number:
                rotated.turn(path, KEEP)
            write(path, lines)
        every = [line for lines in files for line in lines]
        assert list(rotated.lines(path)) == every
        assert list(rotated.lines(path, tail)) == every[max(0, len(every) - tail) :]


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(5):
        write(str(path), [b"%d" % number])
        rotated.turn(str(path), KEEP)
    write(str(path), [b"5"])
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert list(rotated.lines(str(path))) == [b"3", b"4", b"5"]
    rotated.turn(str(path), 1)
    assert not path.exists()


def test_half_a_line_is_no_line(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    append(path, b"one\ntwo\nthr")
    assert list(rotated.lines(path)) == [b"one", b"two"]
    assert list(rotated.lines(path, 1)) == [b"two"]
    endings = iter([b"ee\n", b"half", b"", b"four\n"])

    def over() -> bool:
        ending = next(endings, None)
        if ending == b"":  # as a writer does that had no room for the rest
            os.truncate(path, len(b"one\ntwo\nthree\n"))
        append(path, ending or b"")
        return ending is None

    assert list(rotated.follow(path, over=over)) == [b"one", b"two", b"three", b"four"]


def test_whoever_reads_while_they_are_turned_over_sees_no_gap(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    child = os.fork()
    if not child:
        for number in range(2_000):
            write(path, [b"%d" % number])
            if number % 20 == 19:
                rotated.turn(path, 200)
        os._exit(0)
    looks = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        numbers = [int(line) for line in rotated.lines(path)]
        assert numbers == list(range(len(numbers)))
        looks += 1
    assert looks
