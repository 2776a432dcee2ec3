"""Writes a layer: a deterministic tar stream, its digest, and the entries of its index, in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.layer.entry import FILE, Entry
from wherry.layer.header import END, header, padding
from wherry.layer.pipe import BLOCK, Drain
from wherry.oci.digest import Digest, sha256


class Readable(Protocol):
    """Whatever content is read from: a file, a socket, a member of another tar."""

    def read(self, size: int, /) -> bytes: ...


class Layer(NamedTuple):
    diff_id: Digest
    """The digest of the uncompressed tar stream."""
    size: int
    """Bytes of that stream."""
    entries: tuple[Entry, ...]
    implied: tuple[str, ...] = ()
    """Folders among `entries` that the stream does not have, only something below them: what they are like is
    for the layers below to say."""


class LayerWriter:
    """Entries in, a tar stream out.

    The stream depends on nothing but the entries and their order. `sink` gets it in blocks of about 1 MiB,
    from one other thread, in order; with None the stream is only hashed. All calls of `sink` are over when
    `finish` or `close` returns. Callers add every entry once, parents first.
    """

    def __init__(self, sink: Callable[[bytes], object] | None = None) -> None:
        self._drain = Drain(sink)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flushed = 0
        self._entries: list[Entry] = []

    def add(self, entry: Entry, content: Readable | bytes | int | None = None) -> Entry:
        """Appends `entry`; the value returned has the content's digest and its offset in the stream.

        `content` of a regular file is what has a `read`, the bytes themselves, or a file descriptor (the
        fastest; read from where it stands, left open). It must have exactly `entry.size` bytes:
        Corrupt otherwise.
        """
        if entry.kind != FILE:
            self._put(header(entry))
            if entry.size or entry.digest or entry.offset != -1:
                raise ValueError(f"{entry.path}: only regular files have content")
        else:
            self._put(header(entry))
            offset = self._flushed + self._pending_size
            entry = entry._replace(digest=self._copy(entry, content), offset=offset)
        self._entries.append(entry)
        return entry

    def splice(self, entries: Iterable[Entry], blocks: Iterable[bytes], begin: int) -> None:
        """Appends entries as they stand in another stream of a writer's: `blocks` are all of their bytes
        there, which start at `begin`."""
        shift = self._flushed + self._pending_size - begin
        for block in blocks:
            self._put(block)
        if shift:
            entries = (
                entry._replace(offset=entry.offset + shift) if entry.kind == FILE else entry
                for entry in entries
            )
        self._entries += entries

    def finish(self) -> Layer:
        """Ends the stream. The writer takes no more."""
        self._put(END)
        self._flush()
        return Layer(Digest("sha256:" + self._drain.finish()), self._flushed, tuple(self._entries))

    def close(self) -> None:
        """Gives up: ends the thread. Not needed after `finish`."""
        self._drain.close()

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, entry: Entry, content: Readable | bytes | int | None) -> bytes:
        size = entry.size
        if size <= BLOCK:
            data = _small(content, size)
            if len(data) != size:
                raise _changed(entry)
            if data:
                self._put(data)
                self._put(padding(size))
            return sha256(data).digest()
        digest, left = sha256(), size
        while left:
            block = _some(content, min(left, BLOCK), size - left)
            if not block:
                raise _changed(entry)
            self._put(block)
            digest.update(block)
            left -= len(block)
        if _some(content, 1, size):
            raise _changed(entry)
        self._put(padding(size))
        return digest.digest()

    def _put(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        pending = self._pending
        if len(pending) > 1 and len(pending[-1]) >= BLOCK // 2:
            # a large file's block goes on as it is, not copied behind its header
            self._drain.put(b"".join(pending[:-1]))
            self._drain.put(pending[-1])
        elif pending:
            self._drain.put(b"".join(pending))
        self._flushed += self._pending_size
        self._pending, self._pending_size = [], 0


def _small(content: Readable | bytes | int | None, size: int) -> bytes:
    """The whole content, and one byte more where there is one."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, int):
        data = os.read(content, size + 1)
        if len(data) >= size:
            return data
    else:
        data = b""
    while len(data) <= size and (more := _some(content, size + 1 - len(data), len(data))):
        data += more
    return data


def _some(content: Readable | bytes | int | None, size: int, offset: int) -> bytes:
    if content is None:
        return b""
    if isinstance(content, bytes):
        return content[offset : offset + size]
    if isinstance(content, int):
        return os.read(content, size)
    return content.read(size)


def _changed(entry: Entry) -> Corrupt:
    return Corrupt(
        f"{entry.path!r} changed while it was read: it has not the {entry.size} bytes it had",
        hint="build again when nothing writes to it",
    )
