"""`save`: one tar that is a docker archive and an OCI image layout at once.

    oci-layout, index.json          the layout (OCI image-spec, image-layout.md)
    manifest.json                   docker's list: config, names and layers of each image
    blobs/sha256/<hex>              manifests, configs, layers: both name the same files

Layers are uncompressed where nothing else is asked for, so that their digests are the diff IDs and a blob is
the same whoever saved it.
`load` is in load.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.compress import NONE
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Manifest, encode, make_index
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.output.tarball import Tarball, Writable
from wherry.store.images import Image
from wherry.store.store import Store

LAYOUT = encode({"imageLayoutVersion": "1.0.0"})
FULL_NAME = "io.containerd.image.name"
"""The annotation by which containerd, docker and buildx keep a whole name in a layout."""
REF_NAME = "org.opencontainers.image.ref.name"
_BLOCK = 1 << 20


class Chosen(NamedTuple):
    """An image with the names that it is to have where it is loaded."""

    image: Image
    names: tuple[Reference, ...] = ()


def choose(store: Store, words: Sequence[str]) -> list[Chosen]:
    """What the arguments of `save` mean, each image once: a name, all tags of a repository, an ID."""
    found: dict[Digest, list[Reference]] = {}
    for word in words:
        image = store.images.resolve(word)
        tags = _tags(store, word)
        if image is None and not tags:
            store.images.find(word)  # raises
        for reference, image_id in tags:
            names = found.setdefault(image_id, [])
            if reference not in names:
                names.append(reference)
        if image is not None:
            found.setdefault(image.id, [])
    return [Chosen(store.images.get(image_id), tuple(names)) for image_id, names in found.items()]


def save(store: Store, images: Sequence[Chosen], sink: Writable, form: Form = AS_IT_IS) -> None:
    """Write the archive of `images`; its bytes depend on the images, their names and `form` alone."""
    layers = Layers(store)
    if not form.compression:
        form = form._replace(compression=NONE, force=True)
    with store.lease():
        packed = [_packed(store, layers, chosen.image, form) for chosen in images]
        manifests = [manifest for _, manifest in packed]
        tarball = Tarball(sink)
        tarball.folder("blobs")
        tarball.folder("blobs/sha256")
        _document(tarball, "oci-layout", LAYOUT)
        _document(tarball, "index.json", _index(images, manifests))
        _document(tarball, "manifest.json", _docker_list(images, manifests))
        for packing, manifest in packed:
            _document(tarball, blob_name(manifest.digest), manifest.raw)
            for blob in (manifest.config, *manifest.layers):
                with packing.open(blob) as file:
                    tarball.file(blob_name(blob.digest), blob.size, blocks(file))
        tarball.finish()


def blob_name(digest: Digest) -> str:
    return f"blobs/sha256/{digests.hex_of(digest)}"


def blocks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(_BLOCK):
        yield data


def named(manifest: Descriptor, names: Sequence[Reference]) -> list[Descriptor]:
    """The entries of a layout's index for one image: one for each name, or one without."""
    if not names:
        return [manifest]
    return [
        manifest._replace(annotations=(*manifest.annotations, (FULL_NAME, str(name)), (REF_NAME, name.tag)))
        for name in names
    ]


def _tags(store: Store, word: str) -> list[tuple[Reference, Digest]]:
    """The names that `word` stands for: itself, or without a tag all tags of that repository."""
    try:
        wanted = references.parse(word)
    except WherryError:
        return []
    return [
        (name.reference, name.image)
        for name in store.images.all_names()
        if name.reference.name == wanted.name and wanted.tag in ("", name.reference.tag) and not wanted.digest
    ]


def _packed(store: Store, layers: Layers, image: Image, form: Form) -> tuple[Packing, Manifest]:
    """The manifest that the image came with has no part in it: another store may have got it elsewhere."""
    packing = Packing(store, layers, image._replace(manifest=None), form, streams=True)
    return packing, packing.manifest([packing.layer(diff_id) for diff_id in image.config.diff_ids])


def _index(images: Sequence[Chosen], manifests: Sequence[Manifest]) -> bytes:
    entries: list[Descriptor] = []
    for chosen, manifest in zip(images, manifests, strict=True):
        platform = chosen.image.config.platform
        entry = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), platform=platform)
        entries += named(entry, chosen.names)
    return make_index(tuple(entries)).raw


def _docker_list(images: Sequence[Chosen], manifests: Sequence[Manifest]) -> bytes:
    """docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format"."""
    items: list[dict[str, Any]] = [
        {
            "Config": blob_name(image.id),
            "RepoTags": [name.familiar for name in names] or None,
            "Layers": [blob_name(layer.digest) for layer in manifest.layers],
        }
        for (image, names), manifest in zip(images, manifests, strict=True)
    ]
    return encode(items)


def _document(tarball: Tarball, name: str, raw: bytes) -> None:
    tarball.file(name, len(raw), [raw])
