"""An archive as a place to copy to: an OCI layout in a tar, or docker's own form, written in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from wherry.base.errors import Corrupt, Unsupported, UsageError
from wherry.oci import media
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Index, decode, encode
from wherry.output.archive import LAYOUT, blob_name, blocks
from wherry.output.layoutimage import Layout
from wherry.output.tarball import Tarball
from wherry.output.target import Sink, target
from wherry.registry.client import Report
from wherry.transfer.content import Node, Opener, Source, Tree
from wherry.transfer.layouts import index_entries
from wherry.transfer.places import DOCKER_ARCHIVE, Place
from wherry.transfer.tarfiles import TarFiles
from wherry.transfer.trees import is_image


class ArchiveTarget:
    """Blobs come one by one, each with its size before it; documents behind them."""

    threads = 1
    foreign = False

    def __init__(self, sink: Sink, place: Place) -> None:
        self._sink = sink
        self._tarball = Tarball(sink)
        self._place = place

    def begin(self, tree: Tree, source: Source) -> Sequence[Node]:
        del source
        if self._place.kind == DOCKER_ARCHIVE:
            _check_docker(self._place, tree)
        if self._place.digest not in (None, tree.root.document.digest):
            raise UsageError(
                f"cannot copy to {self._place.text}: what is copied has the digest"
                f" {tree.root.document.digest}"
            )
        self._tarball.folder("blobs")
        self._tarball.folder("blobs/sha256")
        return tree.all

    def blob(self, blob: Descriptor, open_blob: Opener, report: Report) -> None:
        report(0)
        with open_blob() as stream:
            self._tarball.file(blob_name(blob.digest), blob.size, _reported(stream, report))

    def finish(self, tree: Tree) -> None:
        if self._place.kind == DOCKER_ARCHIVE:
            # Nothing of a layout beside it: podman would load that one, without the name.
            self._document("manifest.json", encode([_docker_item(self._place, tree)]))
        else:
            self._write_layout(tree)
        self._tarball.finish()
        self._sink.finish()

    def _write_layout(self, tree: Tree) -> None:
        for node in tree.all:
            self._document(blob_name(node.document.digest), node.document.raw)
        self._document("oci-layout", LAYOUT)
        entries = index_entries(tree, self._place.name)
        index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries}
        self._document("index.json", encode(index))

    def _document(self, name: str, raw: bytes) -> None:
        self._tarball.file(name, len(raw), [raw])


@contextmanager
def archive_target(place: Place) -> Iterator[ArchiveTarget]:
    """The archive appears when it is whole."""
    with target(place.path) as sink:
        yield ArchiveTarget(sink, place)


class TarLayout(Layout):
    """A layout in a tar."""

    def __init__(self, files: TarFiles, shown: str) -> None:
        super().__init__(shown)
        self._files = files
        self._shown = shown

    def open(self, name: str) -> BinaryIO:
        return self._files.open(name)

    def index(self) -> Index:
        if not self._files.has("index.json"):
            raise Corrupt(
                f"{self._shown} is no OCI archive: it has no index.json",
                hint="an archive of `docker save` is named by docker-archive:",
            )
        return super().index()


def _reported(stream: BinaryIO, report: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for block in blocks(stream):
        yield block
        done += len(block)
        report(done)


def _check_docker(place: Place, tree: Tree) -> None:
    if tree.root.config is None:
        raise Unsupported(
            f"{place.text}: a docker archive has images of one platform alone",
            hint="choose one by --platform, or copy to oci-archive:",
        )
    if not is_image(tree.root):
        raise Unsupported(f"{place.text}: a docker archive holds images alone, this is something else")
    if tree.referrers:
        raise Unsupported(
            f"{place.text}: a docker archive has no room for what refers to an image",
            hint="copy without --referrers, or to oci-archive:",
        )
    if place.name:
        references.parse(place.name)


def _docker_item(place: Place, tree: Tree) -> dict[str, Any]:
    """docker's image specification v1.2. Layers may be compressed: docker, podman and skopeo look."""
    document = decode(tree.root.document.raw)
    names = [references.parse(place.name).with_default_tag().familiar] if place.name else None
    assert tree.root.config is not None
    return {
        "Config": blob_name(tree.root.config.digest),
        "RepoTags": names,
        "Layers": [blob_name(layer["digest"]) for layer in document.get("layers") or ()],
    }
