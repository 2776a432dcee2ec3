"""An image out of an OCI layout that is a folder, as skopeo, umoci and buildah write them: without a name.

`load` takes all images of an archive; here one is picked, and only the blobs that the store lacks are read.
The folder is not trusted: a document or a blob counts only where it has the digest that it is named by.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import match, media
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor, Index, Manifest, parse
from wherry.oci.platform import Platform
from wherry.output.archive import FULL_NAME, REF_NAME, blob_name
from wherry.output.described import check_config_type
from wherry.output.load import layer_type
from wherry.store.images import Image
from wherry.store.store import Store

_MAX_INDEXES = 3
_BLOCK = 1 << 20
_DEFAULT_TAG = "latest"


class Place(NamedTuple):
    """`FOLDER[:TAG][@DIGEST]`; what is not said is empty."""

    folder: str
    tag: str = ""
    digest: str = ""


def place(text: str) -> Place:
    """The longest beginning that is a folder is the folder. Raises NotFound where there is none."""
    if os.path.isdir(text):
        return Place(text)
    path, _, digest = text.partition("@")
    ends = [len(path), *(at for at in range(len(path) - 1, 0, -1) if path[at] == ":")]
    for end in ends:
        if os.path.isdir(path[:end]):
            return Place(path[:end], path[end + 1 :], digest)
    raise NotFound(f"there is no folder {path.partition(':')[0]!r}", hint="write oci-layout://FOLDER:TAG")


def image(store: Store, where: Place, platform: Platform) -> Image:
    """The image of the layout for `platform`, now in the store. The caller holds the store's lease."""
    layout = Layout(where.folder)
    manifest, raw = layout.find(where, platform)
    config = configs.parse(raw)
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"{where.folder}: the manifest has {len(manifest.layers)} layers, the config names"
            f" {len(config.diff_ids)}"
        )
    layers = Layers(store)
    for diff_id, blob in zip(config.diff_ids, manifest.layers, strict=True):
        if not layers.has(diff_id):
            layout.copy(store, blob)
            media_type = layer_type(store, blob.digest)
            layers.add_blob(diff_id, Descriptor(media_type, blob.digest, blob.size))
    image_id = manifest.config.digest
    if not store.images.has(image_id):
        store.images.put(raw)
    return store.images.get(image_id)


def config(where: Place, platform: Platform) -> ImageConfig:
    """The config of the same image; the store has no part in it."""
    return configs.parse(Layout(where.folder).find(where, platform)[1])


class Layout:
    """A folder with a layout, read by what its index names."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find(self, where: Place, platform: Platform) -> tuple[Manifest, bytes]:
        """The manifest and the config that are meant, checked."""
        manifest = self.manifest(picked(self.index(), where, platform), platform)
        check_config_type(manifest)
        return manifest, self.document(manifest.config)

    def index(self) -> Index:
        with self.open("index.json") as file:
            index = parse(file.read(MAX_DOCUMENT + 1), media.INDEX)
        if not isinstance(index, Index):
            raise Corrupt(f"{self._folder}/index.json is not an image index")
        return index

    def document(self, descriptor: Descriptor) -> bytes:
        """A small blob whole: a manifest, an index or a config, checked."""
        with self.open(blob_name(descriptor.digest)) as file:
            raw = file.read(MAX_DOCUMENT + 1)
        if len(raw) > MAX_DOCUMENT or digests.of(raw) != descriptor.digest:
            raise self._wrong(descriptor)
        return raw

    def manifest(self, entry: Descriptor, platform: Platform) -> Manifest:
        """The manifest that an entry of the index means; of one for several platforms, that of `platform`."""
        for _ in range(_MAX_INDEXES):
            document = parse(self.document(entry), entry.media_type)
            if isinstance(document, Manifest):
                return document
            entry = _chosen(self._folder, document.manifests, platform)
        raise Unsupported(f"{self._folder}: an index of indexes, more than {_MAX_INDEXES} deep")

    def copy(self, store: Store, blob: Descriptor) -> None:
        """Bring a blob into the store, checked."""
        if not store.blobs.has(blob.digest):
            self._copy(store, blob)
        store.blobs.check_size(blob)

    def _copy(self, store: Store, blob: Descriptor) -> None:
        with self.open(blob_name(blob.digest)) as file, store.blobs.writer() as writer:
            while data := file.read(_BLOCK):
                writer.write(data)
                if writer.size > blob.size:
                    raise self._wrong(blob)
            try:
                writer.commit(blob.digest)
            except Corrupt:
                raise self._wrong(blob) from None

    def open(self, name: str) -> BinaryIO:
        """A file of the layout by its name in it; whether it has the content is for the caller to see."""
        path = f"{self._folder}/{name}"
        try:
            # O_NONBLOCK: a pipe in the place of a file must not keep us waiting.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            if name == "index.json":
                raise NotFound(f"{self._folder} is no OCI layout: it has no index.json") from None
            raise Corrupt(f"{self._folder} has no {name}, which it speaks of") from None
        except OSError as error:
            raise WherryError(f"cannot read {path}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Corrupt(f"{path} is not a file")
        return open(descriptor, "rb")

    def _wrong(self, descriptor: Descriptor) -> Corrupt:
        return Corrupt(f"{self._folder}/{blob_name(descriptor.digest)} has other content than its name says")


def picked(index: Index, where: Place, platform: Platform) -> Descriptor:
    """By digest, by tag, or the one that is called latest; one image alone needs no tag."""
    if where.digest:
        digest = digests.parse(where.digest)
        named = [entry for entry in index.manifests if entry.digest == digest]
        return named[0] if named else Descriptor("", digest, 0)
    found = [entry for entry in index.manifests if _has_tag(entry, where.tag or _DEFAULT_TAG)]
    if not found and not where.tag and len({_tag(entry) for entry in index.manifests}) == 1:
        found = list(index.manifests)
    if not found:
        raise NotFound(f"{where.folder} has no image {where.tag or _DEFAULT_TAG!r}", hint=_offered(index))
    return found[0] if len(found) == 1 else _chosen(where.folder, found, platform)


def _chosen(folder: str, entries: Sequence[Descriptor], platform: Platform) -> Descriptor:
    found = match.choose(entries, platform)
    if found is None:
        raise NotFound(
            f"{folder} has no image for {platform}",
            hint=f"it has: {', '.join(match.offered(entries)) or 'none at all'}",
        )
    return found


def _has_tag(entry: Descriptor, tag: str) -> bool:
    names = dict(entry.annotations)
    full, short = names.get(FULL_NAME, ""), names.get(REF_NAME, "")
    return tag in (short, full) or full.endswith(f":{tag}") or short.endswith(f":{tag}")


def _tag(entry: Descriptor) -> str:
    return dict(entry.annotations).get(REF_NAME, "")


def _offered(index: Index) -> str:
    tags: list[str] = sorted({tag for tag in map(_tag, index.manifests) if tag})
    return f"it has: {', '.join(tags)}" if tags else "its images have no names: give a digest"
