"""`load`: images from a docker archive or an OCI layout in a tar, compressed or not.

Images get their names when the whole archive has been checked: one with a fault in its last image leaves no
name behind.
"""

from __future__ import annotations

from typing import BinaryIO

from wherry.base.errors import Corrupt, Unsupported
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.layer.packing import COMPRESSED
from wherry.oci import config as configs
from wherry.oci import media
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.output import described, members
from wherry.output.described import Described
from wherry.output.members import Member
from wherry.store.store import Store


class Loaded(NamedTuple):
    image_id: Digest
    names: tuple[Reference, ...]


def load(store: Store, stream: BinaryIO) -> list[Loaded]:
    """Every image of the archive that `stream` gives, in its order, now in the store under its names."""
    with store.lease(), store.scratch("load") as scratch:
        found = described.images(members.read(stream, scratch))
        checked = [(image, *_config(image)) for image in found]
        layers = Layers(store)
        for image, _, config in checked:
            for diff_id, member in zip(config.diff_ids, image.layers, strict=True):
                _add_layer(store, layers, diff_id, member)
        return [_enter(store, image, raw) for image, raw, _ in checked]


def _config(image: Described) -> tuple[bytes, ImageConfig]:
    if image.config.size > MAX_DOCUMENT:
        raise Corrupt(f"a config of {image.config.size} bytes: at most {MAX_DOCUMENT} are read")
    with open(image.config.path, "rb") as file:
        raw = file.read()
    config = configs.parse(raw)
    if len(config.diff_ids) != len(image.layers):
        raise Corrupt(
            f"the archive has {len(image.layers)} layers for an image whose config names"
            f" {len(config.diff_ids)}"
        )
    return raw, config


def _add_layer(store: Store, layers: Layers, diff_id: Digest, member: Member) -> None:
    """One layer; Corrupt where it has not the diff ID that the config says.

    One that is there already gains its compressed form, if that is new: the manifest may name it.
    """
    if layers.has(diff_id) and (member.digest == diff_id or _known(store, diff_id, member)):
        return
    if not store.blobs.has(member.digest):
        store.blobs.adopt(member.path, member.digest)
    layers.add_blob(diff_id, Descriptor(layer_type(store, member.digest), member.digest, member.size))


def _known(store: Store, diff_id: Digest, member: Member) -> bool:
    return any(blob.digest == member.digest for blob in store.layers.blobs_of(diff_id))


def layer_type(store: Store, digest: Digest) -> str:
    """By the first bytes: docker archives say nothing, and what layouts say is for the manifest."""
    with store.blobs.open(digest) as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return media.LAYER_GZIP
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return media.LAYER_ZSTD
    if start.startswith((b"BZh", b"\xfd7zXZ\0")):
        raise Unsupported("the archive has layers compressed by bzip2 or xz, which no registry takes")
    return media.LAYER_TAR


def _enter(store: Store, image: Described, config_raw: bytes) -> Loaded:
    """The image's rows, its names last. Its manifest is worth keeping where it could be pushed as it is."""
    manifest = image.manifest
    packed = manifest is not None and all(layer.media_type in COMPRESSED for layer in manifest.layers)
    image_id = store.images.put(config_raw, manifest.raw if manifest and packed else None)
    for name in image.names:
        store.images.tag(name, image_id)
    return Loaded(image_id, image.names)
