"""A container's output on disk: JSON lines, each `{"time": ..., "stream": ..., "data": ...}`.

`time` is RFC 3339 in UTC with nanoseconds, `stream` is stdout or stderr, `data` one line with its end of
line, or a part of one that is longer than 16 KiB or never ended. Where there was no room for output, a
record of the stream `lost` has the number of its bytes. Bytes that are not UTF-8 are lone surrogates
in `data` (Python's surrogateescape), so what the process wrote can be had back whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

from wherry.base import rotated
from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple

STREAMS = ("stdin", "stdout", "stderr")

LOST = 3
"""What there was no room for."""

_NAMES = {1: "stdout", 2: "stderr", LOST: "lost"}
_NUMBERS = {name: number for number, name in _NAMES.items()}

_LONGEST = 16 << 10
_LONGEST_RECORD = 6 * _LONGEST + 1024
"""Each byte may be written as an escape of six."""


class Record(NamedTuple):
    """`time` as written; `stream` is 1 (stdout), 2 (stderr) or LOST: `data` is the number of bytes that are
    missing there then."""

    time: str
    stream: int
    data: bytes


def timestamp(nanoseconds: int) -> str:
    """Docker's form, `2026-11-21T07:11:09.000000001Z`: texts of this form sort by time."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


class Writer:
    """Appends to a log. Output is held back until its line ends: records are lines, as in docker's logs.

    A file that has `size` bytes is turned over, and `files` of them are kept; 0 is no bound.
    """

    def __init__(self, path: str, size: int = 0, files: int = 1) -> None:
        self._path = path
        self._largest = size
        self._files = files
        self._pending = {1: b"", 2: b""}
        self._lost = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        self._drop_half_a_line()

    def write(self, stream: int, data: bytes) -> None:
        """OSError where the disk is full: that output is lost, the log stays whole, and writing may go on."""
        pieces = _pieces(self._pending[stream] + data)
        self._pending[stream] = pieces.pop()
        self._append(stream, pieces)

    def close(self) -> None:
        """Write what never ended in a newline, and close."""
        try:
            for stream, data in self._pending.items():
                self._append(stream, [data] if data else [])
        finally:
            os.close(self._file)

    def _append(self, stream: int, pieces: list[bytes]) -> None:
        now = timestamp(time.time_ns())
        lines = _encode(now, stream, pieces)
        try:
            if self._lost:
                self._put(_encode(now, LOST, [str(self._lost).encode()]))
                self._lost = 0
            self._put(lines)
        except OSError:
            self._lost += sum(map(len, pieces[len(pieces) - len(lines) :]))
            raise

    def _put(self, lines: list[bytes]) -> None:
        """Write the lines, and take those that are written out of the list."""
        while lines:
            count = self._fitting(lines)
            if count:
                self._write(lines, count)
            else:
                self._turn()

    def _fitting(self, lines: list[bytes]) -> int:
        """How many of the lines have room in the file; an empty one takes any."""
        if not self._largest or self._size + sum(map(len, lines)) <= self._largest:
            return len(lines)
        size = self._size
        for index, line in enumerate(lines):
            size += len(line)
            if size > self._largest and (index or self._size):
                return index
        return len(lines)

    def _turn(self) -> None:
        """The new file comes first: where there is no room for it, all stays as it is."""
        fresh = f"{self._path}.new"
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        rotated.turn(self._path, self._files)
        os.rename(fresh, self._path)
        os.close(self._file)
        self._file, self._size = file, 0

    def _write(self, lines: list[bytes], count: int) -> None:
        raw, written = b"".join(lines[:count]), 0
        try:
            while written < len(raw):
                written += os.write(self._file, raw[written:] if written else raw)
        except OSError:
            # Lines that are whole stay: somebody may have read them by now.
            written = raw.rfind(b"\n", 0, written) + 1
            os.ftruncate(self._file, self._size + written)
            raise
        finally:
            self._size += written
            del lines[: raw.count(b"\n", 0, written)]

    def _drop_half_a_line(self) -> None:
        """A monitor that was killed while it wrote left it."""
        start = max(0, self._size - _LONGEST_RECORD)
        end = os.pread(self._file, self._size - start, start)
        self._size = start + end.rfind(b"\n") + 1
        os.ftruncate(self._file, self._size)


def _encode(moment: str, stream: int, pieces: list[bytes]) -> list[bytes]:
    """A line for each piece. All in one go: it takes a third of the time, and a program may write faster."""
    if not pieces:
        return []
    head = f'{{"time":"{moment}","stream":"{_NAMES[stream]}","data":'
    texts = [piece.decode("utf-8", "surrogateescape") for piece in pieces]
    # What stands between two texts of the list ends one record and begins the next.
    body = json.dumps(texts, separators=(f"}}\n{head}", ":"))[1:-1]
    return f"{head}{body}}}\n".encode("ascii").splitlines(keepends=True)


def _pieces(data: bytes) -> list[bytes]:
    """`data` cut behind every newline and every 16 KiB; the last piece is what is still open (maybe b"")."""
    lines = data.split(b"\n")
    if max(map(len, lines)) <= _LONGEST:
        return [line + b"\n" for line in lines[:-1]] + lines[-1:]
    pieces = []
    for line in lines:
        cut = [line[start : start + _LONGEST] for start in range(0, len(line), _LONGEST)] or [b""]
        pieces += cut[:-1]
        pieces.append(cut[-1] + b"\n")
    pieces[-1] = pieces[-1][:-1]
    return pieces


def read(path: str, *, tail: int | None = None, since: str = "", until: str = "") -> Iterator[Record]:
    """The records of a log, the oldest first: the last `tail` of them, and of these none from before `since`
    and after `until`."""
    return follow(path, over=lambda: True, tail=tail, since=since, until=until)


def follow(
    path: str, *, over: Callable[[], bool], tail: int | None = None, since: str = "", until: str = ""
) -> Iterator[Record]:
    """As `read`, then what comes: until `over()` and the log's end."""
    for line in rotated.follow(path, over=over, tail=tail):
        record = _record(line, path)
        if until and record.time > until:
            return
        if record.time >= since:
            yield record


def _record(line: bytes, path: str) -> Record:
    try:
        value = json.loads(line.decode("ascii"))
        data = value["data"].encode("utf-8", "surrogateescape")
        return Record(value["time"], _NUMBERS[value["stream"]], data)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WherryError(f"the log {path} is damaged: {line[:80]!r}") from None
