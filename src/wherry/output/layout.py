"""`-o type=oci`: an OCI image layout, compressed as it would be pushed, in a tar or in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Protocol

from wherry.base.errors import WherryError
from wherry.layer.layers import Layers
from wherry.layer.packing import manifest_of, original, packed
from wherry.oci.descriptor import Descriptor, make_index
from wherry.oci.reference import Reference
from wherry.output.archive import LAYOUT, blob_name, blocks, named
from wherry.output.tarball import Tarball, Writable
from wherry.store.images import Image
from wherry.store.store import Store


class _Files(Protocol):
    def file(self, name: str, size: int, blocks: Iterable[bytes]) -> None: ...


def write_tar(store: Store, image: Image, names: Sequence[Reference], sink: Writable) -> None:
    tarball = Tarball(sink)
    tarball.folder("blobs")
    tarball.folder("blobs/sha256")
    _write(store, image, names, tarball)
    tarball.finish()


def write_folder(store: Store, image: Image, names: Sequence[Reference], folder: str) -> None:
    """A new layout, or one that is there already: blobs are added to it, and its index is replaced."""
    try:
        os.makedirs(f"{folder}/blobs/sha256", exist_ok=True)
        _write(store, image, names, Folder(folder))
    except OSError as error:
        raise WherryError(f"cannot write {folder}: {error.strerror or error}") from None


def _write(store: Store, image: Image, names: Sequence[Reference], files: _Files) -> None:
    """Blobs first, the index that makes them an image last."""
    layers = Layers(store)
    manifest = original(store, image)
    if manifest is None:
        blobs = tuple(packed(store, layers, diff_id) for diff_id in image.config.diff_ids)
        manifest = manifest_of(image, store.blobs.size(image.id), blobs)
    for blob in (*manifest.layers, manifest.config):
        with store.blobs.open(blob.digest) as file:
            files.file(blob_name(blob.digest), blob.size, blocks(file))
    files.file(blob_name(manifest.digest), len(manifest.raw), [manifest.raw])
    files.file("oci-layout", len(LAYOUT), [LAYOUT])
    platform = image.config.platform
    entry = Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), platform=platform)
    index = make_index(tuple(named(entry, names))).raw
    files.file("index.json", len(index), [index])


class Folder:
    """Files in a folder; each has its name only when it is whole."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def file(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        path = f"{self._folder}/{name}"
        if name.startswith("blobs/") and os.path.exists(path) and os.path.getsize(path) == size:
            return
        unfinished = f"{path}.{os.getpid()}.new"
        with open(unfinished, "wb") as file:
            file.writelines(blocks)
        os.rename(unfinished, path)
