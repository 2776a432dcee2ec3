"""The recipe of a copy: what is it, which blobs are lacking, the blobs, then the documents, the name last."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.events import Emit, Note, Transfer, ignore
from wherry.oci import digest as digests
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.registry.parallel import Stop, each
from wherry.transfer import trees
from wherry.transfer.content import Node, Source, Target, Tree, checked


def copy(
    source: Source,
    target: Target,
    platforms: Sequence[Platform] = (),
    referrers: bool = False,
    emit: Emit = ignore,
    member: Descriptor | None = None,
) -> Digest:
    """The digest of what `target` now has under its name; the one that `source` has, where all is copied.

    `member`: only what an index that is the source names so.
    Layers are told as `Transfer`s of vertex 0; one that is there already is told once, as whole.
    """
    tree = trees.read(source, platforms, referrers, member)
    lacking = target.begin(tree, source)
    _tell_what_is_there(tree, lacking, emit)
    _Blobs(source, target, emit).copy(_blobs(lacking, target.foreign, emit))
    target.finish(tree)
    return tree.root.document.digest


class _Blobs:
    def __init__(self, source: Source, target: Target, emit: Emit) -> None:
        self._source = source
        self._target = target
        self._emit = emit

    def copy(self, blobs: Sequence[tuple[Descriptor, bool]]) -> None:
        """`blobs`: with whether they are shown."""
        for blob, shown in blobs:
            if shown:
                self._emit(Transfer(0, digests.short(blob.digest), 0, 0))
        each(self._one, blobs, self._target.threads)

    def _one(self, item: tuple[Descriptor, bool], stop: Stop) -> None:
        blob, shown = item
        stop.check()
        name = digests.short(blob.digest)

        def report(done: int) -> None:
            stop.check()
            if shown:
                self._emit(Transfer(0, name, done, blob.size))

        self._target.blob(blob, lambda: checked(self._source, blob), report)


def _tell_what_is_there(tree: Tree, lacking: Sequence[Node], emit: Emit) -> None:
    missing = {blob.digest for node in lacking for blob in node.blobs}
    layers = [blob for node in tree.all for blob in node.blobs if blob != node.config]
    for blob in dict.fromkeys(layers):
        if blob.digest not in missing:
            emit(Transfer(0, digests.short(blob.digest), blob.size, blob.size))


def _blobs(nodes: Sequence[Node], foreign: bool, emit: Emit) -> list[tuple[Descriptor, bool]]:
    """Each blob once, layers before configs; of configs nobody needs to hear. Without `foreign` those that
    lie elsewhere stay there: their licence forbids to pass them on."""
    found: dict[Digest, tuple[Descriptor, bool]] = {}
    elsewhere = set()
    for node in nodes:
        for blob in node.blobs:
            if blob.is_foreign and not foreign:
                elsewhere.add(blob.digest)
            elif blob != node.config:
                found.setdefault(blob.digest, (blob, True))
    for node in nodes:
        if node.config is not None:
            found.setdefault(node.config.digest, (node.config, False))
    if elsewhere:
        emit(Note("info", f"{len(elsewhere)} layers that may not be passed on are named, and not copied"))
    return list(found.values())
