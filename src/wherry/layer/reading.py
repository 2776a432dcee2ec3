"""Streams made of pieces: what reads a file object needs, on top of one method."""

from __future__ import annotations

import io
from typing import BinaryIO

from wherry.layer.pipe import BLOCK


class Reading(io.RawIOBase):
    """A stream of what `_some` gives."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._some(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """May give fewer bytes than were asked for; none only at the end."""
        return self._some(size) if size >= 0 else self.readall()

    def _some(self, size: int) -> bytes:
        """At least one byte, `size` at most; none at the end."""
        raise NotImplementedError


class Exactly(Reading):
    """As many bytes of a file as it had, whatever a process does to it meanwhile; zeros for what is gone."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def _some(self, size: int) -> bytes:
        size = min(size, self._left)
        data = self._file.read(size) or bytes(min(size, BLOCK))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
