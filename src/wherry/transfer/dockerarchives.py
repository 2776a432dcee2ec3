"""A docker archive as a place to copy from: it has configs and layers, and a manifest is made of them.

Layers are compressed as they would be pushed; those that are compressed already stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

from wherry.base.errors import Corrupt, NotFound, UsageError, WherryError
from wherry.base.text import one_line
from wherry.layer.compress import Compressing, decompressed
from wherry.layer.source import limits
from wherry.layer.streams import tee
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import reference as references
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor, make_manifest
from wherry.oci.digest import Digest
from wherry.registry.client import Document
from wherry.transfer.content import Unreferred
from wherry.transfer.places import Place
from wherry.transfer.tarfiles import TarFiles

_BLOCK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class DockerArchiveSource(Unreferred):
    """`scratch` makes a folder for layers that have to be compressed; the caller deletes it."""

    def __init__(self, files: TarFiles, place: Place, scratch: Callable[[], str]) -> None:
        self._files = files
        self._place = place
        self._scratch = scratch
        self._folder = ""
        self._root: Document | None = None
        self._in_archive: dict[Digest, str] = {}
        self._packed_at: dict[Digest, str] = {}

    @property
    def shown(self) -> str:
        return self._place.text

    def root(self) -> Document:
        """Made once: the layers are compressed for it."""
        if self._root is None:
            self._root = self._make()
        return self._root

    def _make(self) -> Document:
        item = _picked(self._items(), self._place)
        name = _text(item, "Config")
        raw = self._document(name)
        config = configs.parse(raw)
        layers = _texts(item, "Layers")
        if len(layers) != len(config.diff_ids):
            raise Corrupt(
                f"{self.shown} has {len(layers)} layers for an image whose config names"
                f" {len(config.diff_ids)}"
            )
        found = [self._layer(*pair) for pair in zip(layers, config.diff_ids, strict=True)]
        described = Descriptor(media.CONFIG, digests.of(raw), len(raw))
        self._in_archive[described.digest] = name
        manifest = make_manifest(described, tuple(found))
        return Document(manifest.raw, manifest.media_type, manifest.digest)

    def document(self, entry: Descriptor) -> Document:
        raise NotFound(f"{self.shown} has no manifest {entry.digest}")

    def open(self, blob: Descriptor) -> BinaryIO:
        if blob.digest in self._packed_at:
            return open(self._packed_at[blob.digest], "rb")
        return self._files.open(self._in_archive[blob.digest])

    def _items(self) -> list[dict[str, Any]]:
        if not self._files.has("manifest.json"):
            raise Corrupt(
                f"{self.shown} is no docker archive: it has no manifest.json",
                hint="an OCI archive is named by oci-archive:",
            )
        try:
            items = json.loads(self._document("manifest.json"))
        except (ValueError, RecursionError):
            raise Corrupt(f"{self.shown}: manifest.json is not JSON") from None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Corrupt(f"{self.shown}: manifest.json is not a list of images")
        return items

    def _document(self, name: str) -> bytes:
        if self._files.size(name) > MAX_DOCUMENT:
            raise Corrupt(f"{self.shown}: {name[:200]!r} has more than {MAX_DOCUMENT} bytes")
        with self._files.open(name) as file:
            return file.read()

    def _layer(self, name: str, diff_id: Digest) -> Descriptor:
        """One layer as a blob; Corrupt where it has not the diff ID that the config says."""
        with self._files.open(name) as file:
            start = file.read(4)
        if start.startswith(_GZIP):
            return self._found(name, diff_id, media.LAYER_GZIP)
        if start == _ZSTD:
            return self._found(name, diff_id, media.LAYER_ZSTD)
        return self._pack(name, diff_id)

    def _found(self, name: str, diff_id: Digest, media_type: str) -> Descriptor:
        """A layer that is compressed already."""
        found = hashlib.sha256()
        self._check(name, diff_id, tee(self._files.open(name), found.update), lambda _: None)
        blob = Descriptor(media_type, digests.from_hex(found.hexdigest()), self._files.size(name))
        self._in_archive[blob.digest] = name
        return blob

    def _pack(self, name: str, diff_id: Digest) -> Descriptor:
        self._folder = self._folder or self._scratch()
        path = f"{self._folder}/{digests.hex_of(diff_id)}"
        found = hashlib.sha256()
        try:
            with open(path, "wb") as file:

                def keep(data: bytes) -> None:
                    found.update(data)
                    file.write(data)

                with Compressing(keep) as compressing:
                    self._check(name, diff_id, self._files.open(name), compressing.write)
                    compressing.finish()
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
        blob = Descriptor(media.LAYER_GZIP, digests.from_hex(found.hexdigest()), os.path.getsize(path))
        self._packed_at[blob.digest] = path
        return blob

    def _check(self, name: str, diff_id: Digest, stream: BinaryIO, write: Callable[[bytes], object]) -> None:
        """A layer's uncompressed content to `write`; Corrupt at its end where it is not the one promised."""
        found, left = hashlib.sha256(), limits().stream
        with decompressed(stream) as plain:
            while data := plain.read(_BLOCK):
                left -= len(data)
                if left < 0:
                    raise Corrupt(f"{self.shown}: {name[:200]!r} has more content than a layer may have")
                found.update(data)
                write(data)
        if found.hexdigest() != digests.hex_of(diff_id):
            raise Corrupt(f"{self.shown}: {name[:200]!r} is not the layer that the config names: {diff_id}")


def _picked(items: Sequence[dict[str, Any]], place: Place) -> dict[str, Any]:
    """The image of the place's name; without one the only image there is."""
    if place.digest:
        raise UsageError(f"{place.text}: a docker archive has no digests", hint="name an image by its tag")
    tags = {tag: item for item in items for tag in _texts(item, "RepoTags")}
    if place.name:
        wanted = str(references.parse(place.name).with_default_tag())
        named = [item for tag, item in tags.items() if _whole(tag) == wanted]
        if not named:
            raise NotFound(f"{place.path} has no image {place.name!r}", hint=_offered(tags))
        return named[-1]
    if not items:
        raise NotFound(f"{place.path} has no image")
    if len(items) > 1:
        raise UsageError(
            f"{place.path} has several images, and {place.text} does not say which", hint=_offered(tags)
        )
    return items[0]


def _whole(tag: str) -> str:
    try:
        return str(references.parse(tag).with_default_tag())
    except WherryError as error:
        raise Corrupt(f"the archive names an image wrongly: {error.message}") from None


def _offered(tags: Iterable[str]) -> str:
    return f"it has: {', '.join(sorted(map(one_line, tags)))}" if tags else "its images have no names"


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise Corrupt(f"manifest.json has an image without {key!r}")
    return value


def _texts(item: dict[str, Any], key: str) -> list[str]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Corrupt(f"manifest.json: {key!r} is not a list of strings")
    return value
