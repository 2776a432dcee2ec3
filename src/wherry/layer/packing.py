"""An image as it leaves the machine: its manifest, and its layers as blobs, compressed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from wherry.base.errors import NotFound, Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.layer.compress import GZIP, LEVELS, NONE, ZSTD, accepted_types
from wherry.layer.layers import Layers
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Index, Manifest, make_index, make_manifest, parse
from wherry.oci.digest import Digest
from wherry.store.images import Image
from wherry.store.store import Store

COMPRESSED = {
    media.LAYER_GZIP: media.LAYER_GZIP,
    media.LAYER_ZSTD: media.LAYER_ZSTD,
    media.DOCKER_LAYER_GZIP: media.LAYER_GZIP,
}
"""The media types of compressed layers, and what they are called in an OCI manifest."""

_DOCKER_TYPES = {
    media.LAYER_GZIP: media.DOCKER_LAYER_GZIP,
    media.LAYER_TAR: media.DOCKER_LAYER_TAR,
    media.CONFIG: media.DOCKER_CONFIG,
}
_OCI_TYPES = {docker: oci for oci, docker in _DOCKER_TYPES.items()}

Pairs = tuple[tuple[str, str], ...]


class Form(NamedTuple):
    """What a user wants of the manifest and the blobs.

    `compression` is gzip, zstd or uncompressed; "" is gzip, and what the image's manifest names where it came
    with one. Layers that came compressed from elsewhere stay as they came, unless `force`. What else the
    store has of a layer does not count: the manifest depends on the image and on the form. `level` is the
    compressor's; None for its usual one. `oci`: OCI's media types, or docker's; None: those
    that the image came with, and OCI's for a new one.
    """

    compression: str = ""
    level: int | None = None
    force: bool = False
    oci: bool | None = None


AS_IT_IS = Form()


def checked(form: Form) -> Form:
    """`form`, where it can be had; UsageError where its wishes contradict each other."""
    if form.compression:
        accepted_types(form.compression)  # raises for what there is not
    elif form.level is not None:
        raise UsageError("a compression level needs a compression", hint="name it too: gzip or zstd")
    elif form.force:
        raise UsageError(
            "nothing says which compression to force", hint="name it: gzip, zstd or uncompressed"
        )
    if form.level is not None and not 0 <= form.level <= LEVELS.get(form.compression, -1):
        highest = LEVELS.get(form.compression)
        raise UsageError(
            f"there is no compression level {form.level} of {form.compression}",
            hint=f"{form.compression} has 0 to {highest}" if highest else "leave the level out",
        )
    if form.compression == ZSTD and form.oci is False:
        raise UsageError(
            "docker's media types have no name for layers in zstd: compression=zstd and oci-mediatypes=false"
            " contradict each other",
            hint="leave one of them out",
        )
    return form


class Packing:
    """One image on its way out. Safe for use by several threads; the caller holds the store's lease.

    With `streams`, what is not compressed is not made a blob of the store: `open` gives it.
    """

    def __init__(
        self,
        store: Store,
        layers: Layers,
        image: Image,
        form: Form = AS_IT_IS,
        annotations: Pairs = (),
        *,
        streams: bool = False,
    ) -> None:
        self._store = store
        self._layers = layers
        self._image = image
        self._form = form
        self._annotations = annotations
        self._streams = streams
        self._original = original(store, image)
        self._known = (
            dict(zip(image.config.diff_ids, self._original.layers, strict=True)) if self._original else {}
        )

    def layer(self, diff_id: Digest) -> Descriptor:
        """The layer as a blob, compressed now if need be.

        That of the manifest that the image came with goes before others, as long as it is what is wanted.
        """
        known = self._known.get(diff_id)
        if known is not None and not self._form.compression:
            return known
        if self._streams and self._form.compression == NONE and not _kept(self._store, diff_id, self._form):
            return Descriptor(media.LAYER_TAR, diff_id, self._layers.index(diff_id).size)
        blob = packed(self._store, self._layers, diff_id, self._form)
        return known if known is not None and known.digest == blob.digest else blob

    def whole(self) -> Manifest:
        """The manifest, with all layers made that it names."""
        return self.manifest([self.layer(diff_id) for diff_id in self._image.config.diff_ids])

    def open(self, blob: Descriptor) -> BinaryIO:
        """The bytes of what `layer` gave, or of the manifest's config."""
        if self._streams and blob.digest in self._image.config.diff_ids:
            return self._layers.open_tar(blob.digest)
        return self._store.blobs.open(blob.digest)

    def manifest(self, blobs: Sequence[Descriptor]) -> Manifest:
        """The manifest over `blobs`, which `layer` gave, in the image's order.

        It is the one that the image came with, byte for byte, where that says the same.
        """
        kept = self._original
        if kept and self._is_as_wished(kept, blobs):
            return kept
        annotations = dict(kept.annotations if kept else ()) | dict(self._annotations)
        plain = tuple(
            blob._replace(media_type=_OCI_TYPES.get(blob.media_type, blob.media_type)) for blob in blobs
        )
        config = Descriptor(media.CONFIG, self._image.id, self._store.blobs.size(self._image.id))
        if self._is_docker(plain, annotations):
            return make_manifest(
                _docker(config), tuple(map(_docker, plain)), media_type=media.DOCKER_MANIFEST
            )
        return make_manifest(config, plain, annotations)

    def _is_as_wished(self, manifest: Manifest, blobs: Sequence[Descriptor]) -> bool:
        is_oci = manifest.media_type == media.MANIFEST
        return (
            self._form.oci in (None, is_oci)
            and set(self._annotations) <= set(manifest.annotations)
            and [blob.digest for blob in blobs] == [blob.digest for blob in manifest.layers]
        )

    def _is_docker(self, blobs: Sequence[Descriptor], annotations: dict[str, str]) -> bool:
        """Whether the manifest is to be of docker's schema 2, which has no annotations and no zstd."""
        if self._form.oci is None and self._original:
            fits = not annotations and all(blob.media_type in _DOCKER_TYPES for blob in blobs)
            return fits and self._original.media_type == media.DOCKER_MANIFEST
        return self._form.oci is False


def packed(store: Store, layers: Layers, diff_id: Digest, form: Form = AS_IT_IS) -> Descriptor:
    """The layer as a blob of the store, as an OCI manifest names it.

    One that came from elsewhere is taken if `form` allows it: its bytes are the ones that registries know.
    """
    return _kept(store, diff_id, form) or layers.compressed(diff_id, form.compression or GZIP, form.level)


def _kept(store: Store, diff_id: Digest, form: Form) -> Descriptor | None:
    """The compressed blob that the layer came as, where `form` does not ask for another."""
    if form.force:
        return None
    makers = store.layers.makers(diff_id)
    for blob in store.layers.blobs_of(diff_id):
        if not makers[blob.digest] and blob.media_type in COMPRESSED and store.blobs.has(blob.digest):
            return blob._replace(media_type=COMPRESSED[blob.media_type])
    return None


def index_over(entries: Sequence[Descriptor], annotations: Pairs = ()) -> Index:
    """A new index over manifests: docker's list where all of them are of docker's schema 2, which has no
    annotations."""
    is_docker = {entry.media_type for entry in entries} == {media.DOCKER_MANIFEST} and not annotations
    kind = media.DOCKER_LIST if is_docker else media.INDEX
    return make_index(tuple(entries), dict(annotations), kind)


def original(store: Store, image: Image) -> Manifest | None:
    """The manifest that the image was pulled with; None where it was not, or where a blob of it is gone."""
    if image.manifest is None:
        return None
    try:
        manifest = parse(store.blobs.read(image.manifest))
    except NotFound:
        return None
    whole = isinstance(manifest, Manifest) and all(store.blobs.has(layer.digest) for layer in manifest.layers)
    return manifest if isinstance(manifest, Manifest) and whole else None


def _docker(descriptor: Descriptor) -> Descriptor:
    """What an OCI manifest names, as docker's schema 2 does. Unsupported for what that has no name for."""
    media_type = _DOCKER_TYPES.get(descriptor.media_type)
    if media_type is None:
        raise Unsupported(
            f"layer {digests.short(descriptor.digest)} is of the type {descriptor.media_type}, which docker's"
            " manifests do not have",
            hint="leave oci-mediatypes=false out, or add compression=gzip,force-compression=true",
        )
    return descriptor._replace(media_type=media_type, annotations=())
