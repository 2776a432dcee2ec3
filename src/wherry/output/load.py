"""`load`: images from a docker archive or an OCI layout in a tar, compressed or not.

Images get their names when the whole archive has been checked: one with a fault in its last image leaves no
name behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from wherry.base.errors import Corrupt, NotFound, Unsupported
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.layer.packing import COMPRESSED
from wherry.oci import config as configs
from wherry.oci import match, media
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.output import described, members
from wherry.output.described import Described, Group
from wherry.output.members import Member as File
from wherry.output.members import Members
from wherry.store import events
from wherry.store.indexes import Member
from wherry.store.store import Store


class Loaded(NamedTuple):
    """An image of the archive; of one for several platforms, the one that its names mean on this machine."""

    image_id: Digest
    names: tuple[Reference, ...]


class _Checked(NamedTuple):
    image: Described
    raw: bytes
    config: ImageConfig


def load(store: Store, stream: BinaryIO, platform: Platform | None = None) -> list[Loaded]:
    """Every image of the archive that `stream` gives, in its order, now in the store under its names.

    With `platform` those for that alone: NotFound where there is none.
    """
    with store.lease(), store.scratch("load") as scratch:
        return _load(store, members.read(stream, scratch), platform)


def load_folder(store: Store, folder: str, platform: Platform | None = None) -> list[Loaded]:
    """As `load`, of a layout that lies in a folder."""
    with store.lease(), store.scratch("load") as scratch:
        return _load(store, members.read_folder(folder, scratch), platform)


def _load(store: Store, files: Members, platform: Platform | None) -> list[Loaded]:
    found = [(group, list(map(_checked, group.images))) for group in described.groups(files, platform)]
    if platform:
        found = _for_platform(found, platform)
    layers = Layers(store)
    for _, checked in found:
        for image, _, config in checked:
            for diff_id, member in zip(config.diff_ids, image.layers, strict=True):
                _add_layer(store, layers, diff_id, member)
    return [loaded for group, checked in found for loaded in _enter(store, group, checked)]


def _for_platform(
    found: list[tuple[Group, list[_Checked]]], platform: Platform
) -> list[tuple[Group, list[_Checked]]]:
    """Of images that are for one platform each, those that are for this one."""
    offered = [checked.config.platform for _, images in found for checked in images]
    chosen = [
        (group, images)
        for group, images in found
        if match.best([checked.config.platform for checked in images], platform) is not None
    ]
    if not chosen:
        has = ", ".join(sorted(set(map(str, offered)))) or "none at all"
        raise NotFound(f"the archive has no image for {platform}", hint=f"it has: {has}")
    return chosen


def _checked(image: Described) -> _Checked:
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
    return _Checked(image, raw, config)


def _add_layer(store: Store, layers: Layers, diff_id: Digest, member: File) -> None:
    """One layer; Corrupt where it has not the diff ID that the config says.

    One that is there already gains its compressed form, if that is new: the manifest may name it.
    """
    if layers.has(diff_id) and (member.digest == diff_id or _known(store, diff_id, member)):
        return
    if not store.blobs.has(member.digest):
        store.blobs.adopt(member.path, member.digest)
    layers.add_blob(diff_id, Descriptor(layer_type(store, member.digest), member.digest, member.size))


def _known(store: Store, diff_id: Digest, member: File) -> bool:
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


def _enter(store: Store, group: Group, images: Sequence[_Checked]) -> list[Loaded]:
    """The rows of the images, their names last."""
    entered = [_member(store, checked) for checked in images]
    if len(entered) == 1:
        image_id, index_id = entered[0].image, None
    elif not group.names:
        return [Loaded(member.image, ()) for member in entered]
    else:
        index_id = _index(store, group, entered)
        index = store.indexes.get(index_id)
        assert index is not None
        image_id = index.primary
    for name in group.names:
        store.images.tag(name, image_id, index_id)
        events.record(store.root, "image", "load", image_id, {"name": name.familiar})
    return [Loaded(image_id, group.names)]


def _member(store: Store, checked: _Checked) -> Member:
    """The image is in the store now. Its manifest is worth keeping where it could be pushed as it is."""
    manifest, entry = checked.image.manifest, checked.image.entry
    packed = manifest is not None and all(layer.media_type in COMPRESSED for layer in manifest.layers)
    kept = manifest if packed else None
    image_id = store.images.put(checked.raw, kept.raw if kept else None)
    platform = entry.platform if entry and entry.platform else checked.config.platform
    return Member(
        platform,
        image_id,
        kept.digest if kept else None,
        manifest.annotations if manifest and not kept else (),
        entry.annotations if entry else (),
    )


def _index(store: Store, group: Group, entered: Sequence[Member]) -> Digest:
    """Kept byte for byte where all that it names is here as it was, to be pushed under the same digest."""
    index = group.whole
    manifests = [member.manifest for member in entered if member.manifest]
    if index and len(manifests) == len(entered):
        return store.indexes.put_whole(store.blobs.put(index.raw), entered, manifests)
    return store.indexes.put(entered, index.annotations if index else ())
