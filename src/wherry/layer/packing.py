"""An image as it leaves the machine: its manifest, and its layers as compressed blobs."""

from __future__ import annotations

from wherry.base.errors import NotFound
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Manifest, make_manifest, parse
from wherry.oci.digest import Digest
from wherry.store.images import Image
from wherry.store.store import Store

COMPRESSED = {
    media.LAYER_GZIP: media.LAYER_GZIP,
    media.LAYER_ZSTD: media.LAYER_ZSTD,
    media.DOCKER_LAYER_GZIP: media.LAYER_GZIP,
}
"""The media types of compressed layers, and what they are called in an OCI manifest."""


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


def packed(store: Store, layers: Layers, diff_id: Digest) -> Descriptor:
    """The layer as a compressed blob of the store, as an OCI manifest names it.

    One that is there already is taken, whoever compressed it: its bytes are the ones that registries know.
    """
    for blob in store.layers.blobs_of(diff_id):
        if blob.media_type in COMPRESSED and store.blobs.has(blob.digest):
            return blob._replace(media_type=COMPRESSED[blob.media_type])
    return layers.compressed(diff_id)


def manifest_of(image: Image, config_size: int, layers: tuple[Descriptor, ...]) -> Manifest:
    """A new OCI manifest over the image's config, `config_size` bytes, and `layers` in their order."""
    return make_manifest(Descriptor(media.CONFIG, image.id, config_size), layers)
