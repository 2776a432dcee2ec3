"""A registry as a place to copy from and to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from wherry.base.errors import NotFound, UsageError
from wherry.layer.reading import Reading
from wherry.oci import media
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.client import Client, Document, Report
from wherry.registry.parallel import Stop, each
from wherry.registry.push import send
from wherry.registry.referrers import Referrer, put, referrers
from wherry.transfer.content import Node, Opener, Source, Tree

_THREADS = 4


class RegistrySource:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.reference = client.reference
        self._root: Document | None = None

    @property
    def shown(self) -> str:
        return self.reference.familiar

    def root(self) -> Document:
        """Asked for once: a tag that moves meanwhile is another image."""
        if self._root is None:
            self._root = self._client.manifest(self.reference.digest or self.reference.tag)
        return self._root

    def document(self, entry: Descriptor) -> Document:
        return self._client.manifest(entry.digest)

    def open(self, blob: Descriptor) -> BinaryIO:
        return cast(BinaryIO, _Pieces(self._client.pieces(blob)))

    def referrers(self, digest: Digest) -> Sequence[Referrer]:
        return referrers(self._client, digest)

    def tagged(self, tag: str) -> Document | None:
        try:
            return self._client.manifest(tag)
        except NotFound:
            return None


class RegistryTarget:
    """Blobs are mounted from `source`, a repository of the same registry, where there is one."""

    threads = _THREADS
    foreign = False

    def __init__(self, client: Client, source: str = "") -> None:
        self._client = client
        self._source = source
        self._reference: Reference = client.reference
        self._lacking: set[Digest] = set()

    def begin(self, tree: Tree, source: Source) -> Sequence[Node]:
        """A manifest is there with its blobs; an index may be there without its members."""
        del source
        _check_digest(self._reference, tree)

        def ask(node: Node, stop: Stop) -> None:
            stop.check()
            if not self._client.has_manifest(node.document.digest):
                self._lacking.add(node.document.digest)

        each(ask, [node for node in tree.all if node.blobs], _THREADS)
        return [node for node in tree.all if node.document.digest in self._lacking]

    def blob(self, blob: Descriptor, open_blob: Opener, report: Report) -> None:
        send(self._client, blob, open_blob, report, self._source)

    def finish(self, tree: Tree) -> None:
        """By digest what the root names, the root by its tag, then what refers to them."""
        for node in tree.nodes[:-1]:
            if not node.blobs or node.document.digest in self._lacking:
                self._put(node.document.digest, node)
        self._put(self._reference.tag or tree.root.document.digest, tree.root)
        for node in tree.referrers:
            self._put(node.tag or node.document.digest, node)

    def _put(self, name: str, node: Node) -> None:
        put(self._client, name, node.document.raw, node.document.media_type or media.MANIFEST)


class _Pieces(Reading):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def _some(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)


def _check_digest(reference: Reference, tree: Tree) -> None:
    if reference.digest and reference.digest != tree.root.document.digest:
        raise UsageError(
            f"cannot copy to {reference.familiar}: what is copied has the digest {tree.root.document.digest}",
            hint="name a tag, or that digest",
        )
