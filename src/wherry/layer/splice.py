"""Parts of an earlier layer's stream for a new one: entries that are the same are the same bytes.

The earlier stream is read once, from its start to its end, and hashed on the way. Only when its digest is
right, so is what was taken from it: the new layer's own digest is of what was written, and would not tell.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import FILE, Entry, is_same
from wherry.layer.header import END, SIZE, header
from wherry.layer.pipe import BLOCK
from wherry.layer.writer import Layer
from wherry.oci import digest as digests

_WORTH_IT = 2
"""One of so many entries must be the same: else reading the whole stream takes longer than doing without."""


class Damaged(Exception):
    """The earlier stream is not the one that it should be. For who takes from it, and for nobody else."""


class Run(NamedTuple):
    """Entries that follow each other in both layers: `length` of them, from the places `new` and `old`."""

    new: int
    old: int
    length: int
    begin: int
    """The first one's header in the earlier stream, in bytes; `end` is behind the last one's content."""
    end: int


class Earlier:
    """The stream of an earlier layer that this version of wherry wrote; `tar` is closed with it."""

    def __init__(self, layer: Layer, tar: BinaryIO) -> None:
        self.layer = layer
        self._tar = tar
        self._hash = hashlib.sha256()
        self._at = 0

    def runs(self, entries: Sequence[Entry]) -> list[Run]:
        """What of the new layer's `entries`, those of files with the digests that their content has to have,
        can be taken; in ascending order. Nothing where that is not worth it."""
        ends = _ends(self.layer)
        runs = _runs(self.layer.entries, entries, ends) if ends else []
        return runs if _WORTH_IT * sum(run.length for run in runs) >= len(self.layer.entries) else []

    def entries(self, run: Run) -> tuple[Entry, ...]:
        return self.layer.entries[run.old : run.old + run.length]

    def blocks(self, begin: int, end: int) -> Iterator[bytes]:
        """The bytes from `begin`, which lies behind all that was taken before, to `end`."""
        for _ in self._read(begin):
            pass
        yield from self._read(end)

    def verify(self) -> None:
        """Read the rest. Damaged where the stream is not what it was: what was taken is worth nothing."""
        for _ in self._read(self.layer.size):
            pass
        if self._hash.hexdigest() != digests.hex_of(self.layer.diff_id):
            raise Damaged

    def close(self) -> None:
        self._tar.close()

    def _read(self, end: int) -> Iterator[bytes]:
        while self._at < end:
            try:
                block = os.pread(self._tar.fileno(), min(end - self._at, BLOCK), self._at)
            except OSError:
                raise Damaged from None
            if not block:
                raise Damaged
            self._at += len(block)
            self._hash.update(block)
            yield block


def _ends(layer: Layer) -> list[int]:
    """Where each entry ends in the stream; nothing where it is no stream of the writer's."""
    ends = []
    at = 0
    for entry in layer.entries:
        if entry.kind == FILE:
            if entry.offset < at + SIZE:
                return []
            at = entry.offset + entry.size + -entry.size % SIZE
        else:
            at += len(header(entry))
        ends.append(at)
    return ends if at + len(END) == layer.size else []


def _runs(old: Sequence[Entry], new: Sequence[Entry], ends: list[int]) -> list[Run]:
    places = {entry.path: place for place, entry in enumerate(old)}
    runs: list[Run] = []
    first = last = behind = -1
    """The run that grows: from the old place `first` to `last`; `behind` it stands the next new entry."""

    def end() -> None:
        if first >= 0:
            begin = ends[first - 1] if first else 0
            runs.append(Run(behind - (last - first) - 1, first, last - first + 1, begin, ends[last]))

    for at, entry in enumerate(new):
        place = places.get(entry.path, -1)
        if place <= last or not _is_same(old[place], entry):
            continue
        if place != last + 1 or at != behind:
            end()
            first = place
        last, behind = place, at + 1
    end()
    return runs


def _is_same(old: Entry, new: Entry) -> bool:
    """Whether two entries of one path have the same header and content."""
    return is_same(old, new) and (new.kind != FILE or len(new.digest) > 0)
