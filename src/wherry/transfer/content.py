"""What can be copied from and to, seen from the copying: documents by name and digest, blobs as streams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol, cast

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.layer.reading import Reading
from wherry.oci import digest as digests
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor, describe
from wherry.oci.digest import Digest
from wherry.registry.client import Document, Report
from wherry.registry.referrers import Referrer

Opener = Callable[[], BinaryIO]
_BLOCK = 1 << 18


class Source(Protocol):
    """A place to copy from. Documents come verified, blobs do not: see `checked`. Used by several threads."""

    @property
    def shown(self) -> str:
        """The place as it is called in messages."""

    def root(self) -> Document:
        """What the place's name means: a manifest or an index."""

    def document(self, entry: Descriptor) -> Document:
        """A manifest or an index that another one names."""

    def open(self, blob: Descriptor) -> BinaryIO: ...

    def referrers(self, digest: Digest, /) -> Sequence[Referrer]:
        """Manifests whose subject `digest` is."""

    def tagged(self, tag: str, /) -> Document | None:
        """What has that tag beside the image, if anything."""


class Unreferred:
    """A `Source` without what refers to its image, and without other tags beside it."""

    def referrers(self, _digest: Digest, /) -> Sequence[Referrer]:
        return ()

    def tagged(self, _tag: str, /) -> Document | None:
        return None


class Node(NamedTuple):
    """A manifest or an index on its way, and the blobs that it needs. `tag`: one that belongs to it."""

    document: Document
    blobs: tuple[Descriptor, ...] = ()
    config: Descriptor | None = None
    children: tuple[Descriptor, ...] = ()
    tag: str = ""

    @property
    def descriptor(self) -> Descriptor:
        return describe(self.document)


class Tree(NamedTuple):
    """All that is copied: `nodes` have members before the index that names them, and the root at their end.
    `referrers` lie beside it: each behind what it refers to; those with a tag have it at the target too."""

    nodes: tuple[Node, ...]
    referrers: tuple[Node, ...] = ()

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    @property
    def all(self) -> tuple[Node, ...]:
        return self.nodes + self.referrers


class Target(Protocol):
    """A place to copy to. What is there under the name changes with `finish`, or not at all."""

    threads: int
    """Blobs that it takes at a time."""
    foreign: bool
    """Whether layers that may not be passed on go there: to the user's own machine they may."""

    def begin(self, tree: Tree, source: Source) -> Sequence[Node]:
        """Told what will come; those whose blobs it lacks."""

    def blob(self, blob: Descriptor, open_blob: Opener, report: Report) -> None:
        """Take a blob that is not there; `report` is told the bytes so far, at once all if it is there."""

    def finish(self, tree: Tree) -> None:
        """Take the documents, and give the root its name."""


class _Checked(Reading):
    """Blob content that is as it was promised to the last byte, or ends with Corrupt before that one."""

    def __init__(self, again: Opener, blob: Descriptor, shown: str) -> None:
        self._again = again
        self._blob = blob
        self._shown = shown
        self._stream: BinaryIO | None = None
        self._start()

    def _start(self) -> None:
        self._close_stream()
        self._stream = None
        self._hash = hashlib.sha256()
        self._position = 0

    def _some(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._again()
        data = self._stream.read(min(size, _BLOCK))
        self._hash.update(data)
        self._position += len(data)
        if self._position > self._blob.size or (not data and size and self._position < self._blob.size):
            raise self._wrong()
        if self._position == self._blob.size and self._hash.hexdigest() != digests.hex_of(self._blob.digest):
            raise self._wrong()
        return data

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """To `offset` from the start: for uploads that begin again, or go on where they broke off."""
        assert whence == 0
        if offset < self._position:
            self._start()
        while self._position < offset and self._some(offset - self._position):
            pass
        return self._position

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def close(self) -> None:
        self._close_stream()
        super().close()

    def _wrong(self) -> Corrupt:
        return Corrupt(f"{self._shown} has other content than it says for {self._blob.digest}")


def checked(source: Source, blob: Descriptor) -> BinaryIO:
    """A blob of `source`, verified as it is read; it can be read again from its start."""
    return cast(BinaryIO, _Checked(lambda: source.open(blob), blob, source.shown))


def small(source: Source, blob: Descriptor) -> bytes:
    """A config whole, verified."""
    if blob.size > MAX_DOCUMENT:
        raise Corrupt(f"{source.shown}: a config of {blob.size} bytes: at most {MAX_DOCUMENT} are read")
    with checked(source, blob) as stream:
        data = bytearray()
        while block := stream.read(_BLOCK):
            data += block
    return bytes(data)


def copy_blocks(stream: BinaryIO, write: Callable[[bytes], object], report: Report) -> None:
    """All of `stream` to `write`; `report` is told the bytes so far."""
    done = 0
    while data := stream.read(_BLOCK):
        write(data)
        done += len(data)
        report(done)


def verified(raw: bytes, entry: Descriptor, shown: str) -> Document:
    """A document that was found under a descriptor's digest."""
    if digests.of(raw) != entry.digest:
        raise Corrupt(f"{shown} has other content than it says for {entry.digest}")
    return Document(raw, entry.media_type, entry.digest)
