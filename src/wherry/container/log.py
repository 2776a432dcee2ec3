"""A container's output on disk: JSON lines, each `{"time": ..., "stream": ..., "data": ...}`.

`time` is RFC 3339 in UTC with nanoseconds, `stream` is stdout or stderr, `data` one line with its end of
line, or a part of one that is longer than 16 KiB or never ended. Bytes that are not UTF-8 are lone surrogates
in `data` (Python's surrogateescape), so what the process wrote can be had back whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple

STREAMS = ("stdin", "stdout", "stderr")

_LONGEST = 16 << 10
_BLOCK = 64 << 10
_POLL = 0.05


class Record(NamedTuple):
    """`time` as written; `stream` is 1 (stdout) or 2 (stderr)."""

    time: str
    stream: int
    data: bytes


def timestamp(nanoseconds: int) -> str:
    """Docker's form, `2026-11-21T07:11:09.000000001Z`: texts of this form sort by time."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


class Writer:
    """Appends to a log. Output is held back until its line ends: records are lines, as in docker's logs."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._pending = {1: b"", 2: b""}

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
        head = f'{{"time":"{timestamp(time.time_ns())}","stream":"{STREAMS[stream]}","data":'
        texts = (json.dumps(piece.decode("utf-8", "surrogateescape")) for piece in pieces)
        raw = "".join(f"{head}{text}}}\n" for text in texts).encode("ascii")
        before = os.fstat(self._file).st_size
        try:
            while raw:
                raw = raw[os.write(self._file, raw) :]
        except OSError:
            os.ftruncate(self._file, before)
            raise


def _pieces(data: bytes) -> list[bytes]:
    """`data` cut behind every newline and every 16 KiB; the last piece is what is still open (maybe b"")."""
    pieces = []
    for line in data.split(b"\n"):
        cut = [line[start : start + _LONGEST] for start in range(0, len(line), _LONGEST)] or [b""]
        pieces += cut[:-1]
        pieces.append(cut[-1] + b"\n")
    pieces[-1] = pieces[-1][:-1]
    return pieces


def read(path: str, *, tail: int | None = None, since: str = "") -> Iterator[Record]:
    """The records of a log, the oldest first: the last `tail` of them, and none from before `since`."""
    return follow(path, over=lambda: True, tail=tail, since=since)


def follow(
    path: str, *, over: Callable[[], bool], tail: int | None = None, since: str = ""
) -> Iterator[Record]:
    """As `read`, then what comes: until `over()` and the log's end."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with file:
        file.seek(0 if tail is None else _start_of_last(file.fileno(), tail))
        rest, ended = b"", False
        while True:
            block = file.read(_BLOCK)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                record = _record(line, path)
                if record.time >= since:
                    yield record
            if block:
                continue
            if ended:
                return
            # Asked before the last read: what was written before the end is still read.
            ended = over()
            if not ended:
                time.sleep(_POLL)


def _record(line: bytes, path: str) -> Record:
    try:
        value = json.loads(line)
        data = value["data"].encode("utf-8", "surrogateescape")
        return Record(value["time"], STREAMS.index(value["stream"]), data)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WherryError(f"the log {path} is damaged: {line[:80]!r}") from None


def _start_of_last(file: int, count: int) -> int:
    """The offset at which the last `count` lines begin."""
    position = os.fstat(file).st_size
    newlines = 0
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(file, position - start, start)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            newlines += 1
            if newlines > count:
                return start + index + 1
        position = start
    return 0
