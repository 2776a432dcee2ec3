"""The store as a place to copy from and to. Whoever uses it holds the store's lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Packing, index_over
from wherry.oci import config as configs
from wherry.oci import match
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor, Index, Manifest, describe, parse
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.registry.client import Document, Report
from wherry.store.images import Image
from wherry.store.indexes import ImageIndex, Member
from wherry.store.store import Store
from wherry.transfer.content import Node, Opener, Source, Tree, Unreferred, copy_blocks, small, verified
from wherry.transfer.places import Place, store_name
from wherry.transfer.trees import is_image

_THREADS = 4


class StoreSource(Unreferred):
    """An image or an index of the store, as a push would send it: pulled ones byte for byte as they came."""

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = place
        self._made: dict[Digest, Document] = {}
        """Manifests that are made now: the store has no bytes of theirs."""

    @property
    def shown(self) -> str:
        return self._place.text

    def root(self) -> Document:
        index = self._store.images.index_of(self._place.name)
        if index is None:
            image = self._store.images.find(self._place.name)
            return self._manifest(image, self._annotations(image))
        if index.whole:
            return self.document(Descriptor("", index.id, 0))
        return self._index(index)

    def document(self, entry: Descriptor) -> Document:
        if entry.digest in self._made:
            return self._made[entry.digest]
        return verified(self._store.blobs.read(entry.digest), entry, self.shown)

    def open(self, blob: Descriptor) -> BinaryIO:
        return self._store.blobs.open(blob.digest)

    def _annotations(self, image: Image) -> tuple[tuple[str, str], ...]:
        """Those that a push under the name would set."""
        try:
            name = self._store.images.name(references.parse(self._place.name))
        except WherryError:
            return ()
        return name.annotations if name and name.image == image.id else ()

    def _manifest(self, image: Image, annotations: tuple[tuple[str, str], ...]) -> Document:
        packing = Packing(self._store, Layers(self._store), image, AS_IT_IS, annotations)
        manifest = packing.whole()
        document = Document(manifest.raw, manifest.media_type, manifest.digest)
        self._made[document.digest] = document
        return document

    def _index(self, index: ImageIndex) -> Document:
        entries = []
        for member in index.members:
            made = self._manifest(self._store.images.of(member), member.annotations)
            entries.append(describe(made, member.described, member.platform))
        made_index = index_over(entries, index.annotations)
        return Document(made_index.raw, made_index.media_type, made_index.digest)


class _Image(NamedTuple):
    """An image that comes: `platform` and `described` are those of the index's entry for it."""

    node: Node
    config: ImageConfig
    raw: bytes
    platform: Platform
    described: tuple[tuple[str, str], ...] = ()


class StoreTarget:
    """Images are entered and named when all bytes are in place. `origin`: the registry's name for them."""

    threads = _THREADS
    foreign = True

    def __init__(self, store: Store, place: Place, origin: Reference | None = None) -> None:
        self._store = store
        self._layers = Layers(store)
        self._name = store_name(place)
        self._place = place
        self._origin = origin
        self._images: list[_Image] = []
        self._diff_ids: dict[Digest, Digest] = {}
        """For each layer's blob its diff ID."""

    def begin(self, tree: Tree, source: Source) -> Sequence[Node]:
        if tree.referrers:
            raise Unsupported(
                f"{self._place.text}: the store has no room for what refers to an image",
                hint="copy without --referrers, or to oci:FOLDER:TAG",
            )
        self._images = list(self._found(tree, source))
        if not self._images:
            raise Unsupported(f"{source.shown} is no container image, and the store holds nothing else")
        for image in self._images:
            layers = _manifest(image.node).layers
            if len(layers) != len(image.config.diff_ids):
                raise Corrupt(
                    f"{source.shown} has an image with {len(layers)} layers, and diff IDs for"
                    f" {len(image.config.diff_ids)} in its config"
                )
            for layer, diff_id in zip(layers, image.config.diff_ids, strict=True):
                if self._diff_ids.setdefault(layer.digest, diff_id) != diff_id:
                    raise Corrupt(f"{source.shown} has a layer that is said to be two: {layer.digest}")
        return tree.nodes

    def blob(self, blob: Descriptor, open_blob: Opener, report: Report) -> None:
        diff_id = self._diff_ids.get(blob.digest)
        self._store.blobs.check_size(blob)
        if self._store.blobs.has(blob.digest) and (diff_id is None or self._is_known(blob, diff_id)):
            report(blob.size)
            return
        if not self._store.blobs.has(blob.digest):
            report(0)
            with open_blob() as stream, self._store.blobs.writer() as writer:
                copy_blocks(stream, writer.write, lambda done: report(min(done, blob.size - 1)))
                writer.commit(blob.digest)
        if diff_id is not None:
            self._layers.add_blob(diff_id, blob)
        report(blob.size)

    def finish(self, tree: Tree) -> None:
        images = self._store.images
        ids = [images.put(image.raw, image.node.document.raw) for image in self._images]
        chosen, index_id = ids[0], None
        root = tree.root
        if root.config is None:
            members = [
                Member(image.platform, image_id, image.node.document.digest, (), image.described)
                for image, image_id in zip(self._images, ids, strict=True)
            ]
            index_id = self._enter_index(tree, members)
            index = self._store.indexes.get(index_id)
            chosen = index.primary if index else chosen
        if self._origin is not None and self._origin.name == self._name.name:
            images.add_repo_digest(self._origin.name, root.document.digest, chosen, index_id)
        images.tag(self._name, chosen, index_id)

    def _enter_index(self, tree: Tree, members: Sequence[Member]) -> Digest:
        """With all that is no image's own: documents, and the blobs of attestations."""
        own = {image.node.document.digest for image in self._images}
        for node in tree.nodes:
            self._store.blobs.put(node.document.raw)
        blobs = [node.document.digest for node in tree.nodes]
        blobs += [
            blob.digest for node in tree.nodes if node.document.digest not in own for blob in node.blobs
        ]
        return self._store.indexes.put_whole(tree.root.document.digest, members, dict.fromkeys(blobs))

    def _is_known(self, blob: Descriptor, diff_id: Digest) -> bool:
        return any(known.digest == blob.digest for known in self._store.layers.blobs_of(diff_id))

    def _found(self, tree: Tree, source: Source) -> Sequence[_Image]:
        """The images of the tree, in the order of its index."""
        if tree.root.config is not None:
            return [_image(source, tree.root)] if is_image(tree.root) else []
        nodes = {node.document.digest: node for node in tree.nodes}
        found: dict[Digest, _Image] = {}
        for parent in reversed(tree.nodes):
            for entry in parent.children:
                node = nodes[entry.digest]
                if is_image(node) and not match.is_attestation(entry):
                    image = _image(source, node)
                    platform = entry.platform or image.platform
                    image = image._replace(platform=platform, described=entry.annotations)
                    found.setdefault(entry.digest, image)
        return list(found.values())


def _image(source: Source, node: Node) -> _Image:
    assert node.config is not None
    raw = small(source, node.config)
    config = configs.parse(raw)
    return _Image(node, config, raw, config.platform)


def _manifest(node: Node) -> Manifest:
    parsed = parse(node.document.raw, node.document.media_type)
    if isinstance(parsed, Index):
        raise NotFound("an index where an image was expected")
    return parsed
