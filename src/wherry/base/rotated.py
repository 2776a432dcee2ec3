"""Files of lines that are turned over when they are full, and whoever follows them meanwhile.

`path` is what is written to; `path.1` is what it was before, `path.2` what that was. A writer ends a line or
takes back what it wrote of it, so a line that is there is whole, and stays as it is until its file goes.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator

_BLOCK = 64 << 10
_POLL = 0.05


def turn(path: str, keep: int) -> None:
    """`path` becomes `path.1`, that `path.2`, and so on; of all, a new `path` included, `keep` stay."""
    if keep == 1:
        os.unlink(path)
    for number in range(keep - 1, 0, -1):
        older = f"{path}.{number - 1}" if number > 1 else path
        try:
            os.rename(older, f"{path}.{number}")
        except FileNotFoundError:
            pass  # there were not that many yet


def lines(path: str, tail: int | None = None) -> Iterator[bytes]:
    """The lines that are there, without their ends, the oldest first; with `tail` only the last so many."""
    return follow(path, over=lambda: True, tail=tail)


def follow(path: str, *, over: Callable[[], bool], tail: int | None = None) -> Iterator[bytes]:
    """As `lines`, then what comes: until `over()`, and what had been written by then is read."""
    with _Reader(path) as reader:
        if tail is not None:
            reader.skip_to_last(tail)
        ended = False
        while True:
            while found := reader.read():
                yield from found
            if ended:
                return
            # Asked before the last read: what was written before the end is still read.
            ended = over()
            if not ended:
                time.sleep(_POLL)


class _Reader:
    """Holds the files that are still to be read, the oldest first: they may be deleted meanwhile."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: list[int] = []
        self._files = self._newer()
        self._position = 0
        """Where the first line that was not read yet begins, in the first of the files."""

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        for file in self._files:
            os.close(file)

    def read(self) -> list[bytes]:
        """Some of the lines that were not read yet; none where there are no more for now."""
        while True:
            if self._files and (found := self._read_first()):
                return found
            if len(self._files) > 1:
                os.close(self._files.pop(0))
                self._position = 0
                continue
            newer = self._newer()
            if not newer:
                return []
            # The one that was held may have got more before it was turned over: it is read once more.
            self._files += newer

    def skip_to_last(self, count: int) -> None:
        """Go to where the last `count` lines begin."""
        for index in range(len(self._files) - 1, -1, -1):
            self._position, found = _start_of_last(self._files[index], count)
            count -= found
            if count <= 0:
                for file in self._files[:index]:
                    os.close(file)
                del self._files[:index]
                return
        self._position = 0

    def _read_first(self) -> list[bytes]:
        size = _BLOCK
        while True:
            block = os.pread(self._files[0], size, self._position)
            end = block.rfind(b"\n")
            if end >= 0:
                self._position += end + 1
                return block[:end].split(b"\n")
            if len(block) < size:
                return []
            size *= 2

    def _newer(self) -> list[int]:
        """Descriptors of the files that came after the last one that is held, the oldest first.

        They are looked for from the newest to the oldest, and once more if they were turned over meanwhile:
        half of that is no harm, as the ones that have another name already are met again under it.
        """
        last = _identity(self._files[-1]) if self._files else None
        while True:
            newest = _identity_of(self._path)
            found: dict[tuple[int, int], int] = {}
            for name in self._names() if newest != last else ():
                try:
                    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                identity = _identity(file)
                if identity == last or identity in found:
                    os.close(file)
                else:
                    found[identity] = file
                if identity == last:
                    break
            if _identity_of(self._path) == newest:
                return list(reversed(found.values()))
            for file in found.values():
                os.close(file)

    def _names(self) -> list[str]:
        """The newest first, with one more than there are: they may be turned over before they are opened."""
        folder, name = os.path.split(self._path)
        turned = re.compile(re.escape(name) + r"\.([0-9]{1,9})")
        try:
            numbers = [int(match[1]) for entry in os.listdir(folder) if (match := turned.fullmatch(entry))]
        except FileNotFoundError:
            return []
        oldest = max(numbers, default=0) + 1
        return [self._path, *(f"{self._path}.{number}" for number in range(1, oldest + 1))]


def _identity(file: int) -> tuple[int, int]:
    state = os.fstat(file)
    return state.st_dev, state.st_ino


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _start_of_last(file: int, count: int) -> tuple[int, int]:
    """The offset at which the last `count` lines begin, and how many there are from there on."""
    position = os.fstat(file).st_size
    newlines = 0
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(file, position - start, start)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            newlines += 1
            if newlines > count:
                return start + index + 1, count
        position = start
    return 0, newlines
