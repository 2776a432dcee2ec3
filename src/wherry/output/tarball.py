"""The outer tar of an archive: members in the order given, bytes that depend on nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from wherry.base.errors import Corrupt
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.header import END, header, padding


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Tarball:
    """Folders and files, mode 0755 and 0644, of nobody and of no time."""

    def __init__(self, sink: Writable) -> None:
        self._sink = sink
        self._names: set[str] = set()

    def folder(self, name: str) -> None:
        self._sink.write(header(Entry(name, DIRECTORY, 0o755)))

    def file(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        """A file of `size` bytes; one that is there already is passed over."""
        if name in self._names:
            return
        self._names.add(name)
        self._sink.write(header(Entry(name, FILE, 0o644, size=size)))
        written = 0
        for block in blocks:
            self._sink.write(block)
            written += len(block)
        if written != size:
            raise Corrupt(f"{name} has {written} bytes, not {size}")
        self._sink.write(padding(size))

    def finish(self) -> None:
        self._sink.write(END)
