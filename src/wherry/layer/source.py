"""A tar stream by exact amounts, and the content of one file in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from wherry.base.errors import Corrupt, UsageError
from wherry.base.tuples import NamedTuple
from wherry.layer import sparse
from wherry.layer.pipe import BLOCK

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class Limits(NamedTuple):
    """What one layer may ask for; beyond it reading ends with Corrupt. Bytes, where not said otherwise."""

    size: int = 64 << 30
    """All content together, as it would be read: holes count."""
    entries: int = 2_000_000
    """Number of entries. Each takes about 700 bytes of memory."""
    header: int = 2 << 20
    """One extended header, with all attributes in it."""
    names: int = 256 << 20
    """Names, links' targets and attributes of all entries together: they are kept in memory."""

    @property
    def stream(self) -> int:
        """The whole stream, whatever is in it or behind its end: content, and headers for each entry."""
        return self.size + 2 * self.names + 2048 * self.entries


def too_many(limits: Limits) -> Corrupt:
    return Corrupt(
        f"a tar archive has more than {limits.entries} entries, or more than {limits.names} bytes of names",
        hint="if you trust it, set WHERRY_MAX_LAYER_ENTRIES (a number, or with K, M)",
    )


def limits() -> Limits:
    """The limits in force: WHERRY_MAX_LAYER_SIZE (bytes) and WHERRY_MAX_LAYER_ENTRIES raise or lower them; a
    number may end with K, M, G or T.
    """
    given = Limits()
    size, entries = _variable("WHERRY_MAX_LAYER_SIZE"), _variable("WHERRY_MAX_LAYER_ENTRIES")
    if size is not None:
        given = given._replace(size=size)
    if entries is not None:
        given = given._replace(entries=entries, names=max(given.names, 128 * entries))
    return given


def _variable(name: str) -> int | None:
    text = os.environ.get(name, "")
    if not text:
        return None
    digits, unit = (text[:-1], text[-1].upper()) if text[-1].isalpha() else (text, "")
    if unit not in _UNITS or len(digits) > 20 or not digits.isascii() or not digits.isdigit():
        raise UsageError(f"{name} is {text!r}", hint="a number, as in 200G")
    return int(digits) << _UNITS[unit]


class Source:
    """The stream, by exact amounts. `position` counts the bytes that were taken."""

    def __init__(self, block: Callable[[], bytes]) -> None:
        """`block` gives the stream's next bytes, as many as it likes; none at the end."""
        self._next = block
        self._buffer = b""
        self._at = 0
        self.position = 0

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes: Corrupt where the stream ends before."""
        data = self.some(size)
        if len(data) == size:
            return data
        parts, left = [data], size - len(data)
        while left:
            data = self.some(left)
            if not data:
                raise Corrupt("a tar archive is cut off")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def some(self, size: int) -> bytes:
        """At least one byte and at most `size`; none at the end of the stream."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._next(), 0
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        self.position += len(data)
        return data

    def skip(self, size: int) -> None:
        while size:
            data = self.some(min(size, BLOCK))
            if not data:
                raise Corrupt("a tar archive is cut off")
            size -= len(data)


class Content:
    """One file's content, to be read before the next entry is asked for; what is left over is skipped.

    `pieces` gives data with its place in the file, so that holes need not be written.
    """

    def __init__(self, source: Source, size: int, regions: sparse.Regions | None = None) -> None:
        self.size = size
        """Bytes of the file, holes included."""
        self._source = source
        self._regions = regions
        self.stored = sum(length for _, length in regions) if regions is not None else size
        self._left = self.stored
        self._reading: Iterator[bytes] | None = None
        self._rest = b""

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes), ascending, 1 MiB at most each; between them is nothing but zeros."""
        if self._regions is None:
            offset = 0
            while self._left:
                data = self._take(self._left)
                yield offset, data
                offset += len(data)
            return
        for offset, length in self._regions:
            while length:
                data = self._take(length)
                yield offset, data
                offset, length = offset + len(data), length - len(data)

    def read(self, size: int = -1) -> bytes:
        """As a file's `read`: `size` bytes, fewer only at the end; zeros for holes."""
        if self._reading is None:
            if self._regions is None and not 0 <= size < self._left:
                data = self._source.take(self._left)
                self._left = 0
                return data
            self._reading = self._filled()
        parts, have = [self._rest], len(self._rest)
        while size < 0 or have < size:
            data = next(self._reading, b"")
            if not data:
                break
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        if size < 0:
            size = len(data)
        self._rest = data[size:]
        return data[:size]

    def skip(self) -> None:
        self._source.skip(self._left)
        self._left = 0

    def _take(self, size: int) -> bytes:
        data = self._source.some(min(size, BLOCK))
        if not data:
            raise Corrupt("a tar archive is cut off")
        self._left -= len(data)
        return data

    def _filled(self) -> Iterator[bytes]:
        """The content in order, holes as zeros."""
        at = 0
        for offset, data in self.pieces():
            yield from sparse.zeros(offset - at)
            yield data
            at = offset + len(data)
        yield from sparse.zeros(self.size - at)
