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
from itertools import chain
from typing import Any, BinaryIO

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.compress import NONE
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Index, Manifest, describe, encode, make_index
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.output.tarball import Tarball, Writable
from wherry.store.images import Image, Name
from wherry.store.indexes import ImageIndex, Member
from wherry.store.store import Store

LAYOUT = encode({"imageLayoutVersion": "1.0.0"})
FULL_NAME = "io.containerd.image.name"
"""The annotation by which containerd, docker and buildx keep a whole name in a layout."""
REF_NAME = "org.opencontainers.image.ref.name"
_BLOCK = 1 << 20


class Chosen(NamedTuple):
    """An image with the names that it is to have where it is loaded; with `several`, all images of an index,
    of which `image` is the one that a docker archive has."""

    image: Image
    names: tuple[Reference, ...] = ()
    several: ImageIndex | None = None


class _Packed(NamedTuple):
    """An image as it is written; `entry` names its manifest in an index."""

    packing: Packing
    manifest: Manifest
    entry: Descriptor


def choose(store: Store, words: Sequence[str], platform: Platform | None = None) -> list[Chosen]:
    """What the arguments of `save` mean, each image once: a name, all tags of a repository, an ID.

    With `platform` the image for that; NotFound where a name has none.
    """
    found: dict[tuple[Digest, Digest | None], list[Reference]] = {}
    for word in words:
        named = _named(store, word)
        for name in named:
            meant = (name.image, name.index_id)
            if platform:
                meant = (store.images.find(str(name.reference), platform).id, None)
            names = found.setdefault(meant, [])
            if name.reference not in names:
                names.append(name.reference)
        if not named:
            found.setdefault((store.images.find(word, platform).id, None), [])
    return [
        Chosen(store.images.get(image_id), tuple(names), store.indexes.get(index_id) if index_id else None)
        for (image_id, index_id), names in found.items()
    ]


def save(store: Store, images: Sequence[Chosen], sink: Writable, form: Form = AS_IT_IS) -> None:
    """Write the archive of `images`; its bytes depend on the images, their names and `form` alone."""
    layers = Layers(store)
    if not form.compression:
        form = form._replace(compression=NONE, force=True)
    with store.lease():
        packed = [_parts(store, layers, chosen, form) for chosen in images]
        indexes = [
            _index_of(chosen.several, parts) if chosen.several else None
            for chosen, parts in zip(images, packed, strict=True)
        ]
        tarball = Tarball(sink)
        tarball.folder("blobs")
        tarball.folder("blobs/sha256")
        _document(tarball, "oci-layout", LAYOUT)
        _document(tarball, "index.json", _top(images, packed, indexes))
        _document(tarball, "manifest.json", _docker_list(images, packed))
        for index in indexes:
            if index:
                _document(tarball, blob_name(index.digest), index.raw)
        for packing, manifest, _ in chain.from_iterable(packed):
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


def _named(store: Store, word: str) -> list[Name]:
    """The names that `word` stands for: itself, or without a tag all tags of that repository."""
    try:
        wanted = references.parse(word)
    except WherryError:
        return []
    return [
        name
        for name in store.images.all_names()
        if name.reference.name == wanted.name and wanted.tag in ("", name.reference.tag) and not wanted.digest
    ]


def _parts(store: Store, layers: Layers, chosen: Chosen, form: Form) -> list[_Packed]:
    """All images of the index, or the one image."""
    if chosen.several is None:
        return [_packed(store, layers, Member(chosen.image.config.platform, chosen.image.id), form)]
    return [_packed(store, layers, member, form) for member in chosen.several.members]


def _packed(store: Store, layers: Layers, member: Member, form: Form) -> _Packed:
    """The manifest that the image came with has no part in it: another store may have got it elsewhere."""
    image = store.images.get(member.image)._replace(manifest=None)
    packing = Packing(store, layers, image, form, member.annotations, streams=True)
    manifest = packing.whole()
    return _Packed(packing, manifest, describe(manifest, member.described, member.platform))


def _index_of(index: ImageIndex, parts: Sequence[_Packed]) -> Index:
    return make_index(tuple(part.entry for part in parts), dict(index.annotations))


def _top(
    images: Sequence[Chosen], packed: Sequence[Sequence[_Packed]], indexes: Sequence[Index | None]
) -> bytes:
    """The layout's index: it names images, and indexes of several."""
    entries: list[Descriptor] = []
    for chosen, parts, index in zip(images, packed, indexes, strict=True):
        entry = parts[0].entry
        if index:
            entry = describe(index)
        entries += named(entry, chosen.names)
    return make_index(tuple(entries)).raw


def _docker_list(images: Sequence[Chosen], packed: Sequence[Sequence[_Packed]]) -> bytes:
    """docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format"."""
    items: list[dict[str, Any]] = []
    for chosen, parts in zip(images, packed, strict=True):
        manifest = next(part.manifest for part in parts if part.manifest.config.digest == chosen.image.id)
        items.append(
            {
                "Config": blob_name(chosen.image.id),
                "RepoTags": [name.familiar for name in chosen.names] or None,
                "Layers": [blob_name(layer.digest) for layer in manifest.layers],
            }
        )
    return encode(items)


def _document(tarball: Tarball, name: str, raw: bytes) -> None:
    tarball.file(name, len(raw), [raw])
