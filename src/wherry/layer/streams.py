"""A layer's uncompressed stream on its way: verified, made again from a tree, kept in a file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, cast

from wherry.base.errors import Corrupt, WherryError
from wherry.base.paths import Root
from wherry.layer import sparse
from wherry.layer.entry import FILE, Entry
from wherry.layer.header import END, header, padding
from wherry.layer.pipe import BLOCK
from wherry.layer.reading import Reading
from wherry.layer.writer import Layer
from wherry.oci import digest as digests
from wherry.oci.digest import Digest, sha256


class _Verified(Reading):
    def __init__(self, stream: BinaryIO, diff_id: Digest) -> None:
        self._stream = stream
        self._diff_id = diff_id
        self._hash = sha256()

    def _some(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        if not data and size:
            check(self._diff_id, self._hash.hexdigest())
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def verified(stream: BinaryIO, diff_id: Digest) -> BinaryIO:
    """`stream`, which raises Corrupt at its end if it had another digest. Closes it when it is closed."""
    return cast(BinaryIO, _Verified(stream, diff_id))


def check(diff_id: Digest, found: str) -> None:
    """Corrupt if the digest `found` (with or without `sha256:`) is not the layer's."""
    if digests.hex_of(diff_id) != found.removeprefix("sha256:"):
        raise Corrupt(
            f"layer {digests.short(diff_id)} is damaged: its content has another digest, {found}",
            hint="remove the images that use it, and pull or build them again",
        )


def keeps_promise(diff_id: Digest, found: Digest) -> None:
    """Corrupt if a layer that came from elsewhere is not the one that its image's config names."""
    if found != diff_id:
        raise Corrupt(f"its content has another digest, {found}, than the config says: {diff_id}")


class _Regenerated(Reading):
    def __init__(self, layer: Layer, tree: str) -> None:
        self._root = Root(tree)
        self._blocks = _blocks(layer, self._root)
        self._rest = b""

    def _some(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._blocks, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        self._blocks.close()
        self._root.close()
        super().close()


def regenerated(layer: Layer, tree: str) -> BinaryIO:
    """The stream that `layer` was hashed from when its content was the tree in the folder `tree`."""
    return cast(BinaryIO, _Regenerated(layer, tree))


def _blocks(layer: Layer, root: Root) -> Generator[bytes, None, None]:
    """The stream in blocks of at least 1 MiB, but for the last."""
    parts: list[bytes] = []
    size = 0
    for part in _parts(layer.entries, root):
        parts.append(part)
        size += len(part)
        if size >= BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def _parts(entries: tuple[Entry, ...], root: Root) -> Iterator[bytes]:
    for entry in entries:
        yield header(entry)
        if entry.kind == FILE and entry.size:
            yield from _content(entry, root)
            yield padding(entry.size)
    yield END


def _content(entry: Entry, root: Root) -> Iterator[bytes]:
    left = entry.size
    try:
        descriptor = root.open(entry.path)
    except OSError as error:
        raise damaged(entry, error.strerror) from None
    try:
        while left:
            data = os.read(descriptor, min(left, BLOCK))
            if not data:
                raise damaged(entry, "it is too short")
            yield data
            left -= len(data)
    finally:
        os.close(descriptor)


def damaged(entry: Entry, why: str | None) -> Corrupt:
    """The error for a file that is not in a layer's tree as its index says."""
    return Corrupt(
        f"a layer's tree in the store is damaged: {entry.path!r}: {why}",
        hint="remove the images that use it, and pull or build them again",
    )


class _Window(Reading):
    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self._stream = stream
        self._offset = offset
        self._left = size

    def _some(self, size: int) -> bytes:
        data = os.pread(self._stream.fileno(), min(size, self._left), self._offset)
        if not data and size and self._left:
            raise Corrupt("a layer's tar stream in the store is cut off")
        self._offset += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def window(stream: BinaryIO, offset: int, size: int) -> BinaryIO:
    """`size` bytes of the file `stream` from `offset` on. Closes it when it is closed."""
    return cast(BinaryIO, io.BufferedReader(_Window(stream, offset, size)))


class _Tee(Reading):
    def __init__(self, stream: BinaryIO, sink: Callable[[bytes], object]) -> None:
        self._stream = stream
        self._sink = sink

    def _some(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._sink(data)
        return data


def tee(stream: BinaryIO, sink: Callable[[bytes], object]) -> BinaryIO:
    """`stream`, all that is read of which goes to `sink` too."""
    return cast(BinaryIO, _Tee(stream, sink))


def unwritable(error: OSError) -> WherryError:
    """A full disk or a lost right, as the user is to read it."""
    hint = "`wherry system prune` frees space" if error.errno == errno.ENOSPC else ""
    return WherryError(f"cannot write to the store: {error.strerror}", hint=hint)


class TarFile:
    """A new file for a layer's stream; pages of zeros become holes."""

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unwritable(error) from None
        self._size = 0

    def write(self, data: bytes) -> None:
        try:
            sparse.write(self._descriptor, data, self._size)
        except OSError as error:
            raise unwritable(error) from None
        self._size += len(data)

    def finish(self) -> None:
        """Not synced: on a disk that would cost more than all the rest, and readers verify the digest."""
        os.ftruncate(self._descriptor, self._size)

    def __enter__(self) -> TarFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
