"""What several commands show of an image."""

from __future__ import annotations

from wherry.build.times import DEFAULT_EPOCH
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.ui.units import parse_rfc3339


def created(image: Image) -> float:
    """When it was made (unix seconds)."""
    moment = made(image.config.created, image)
    return image.created if moment is None else moment


def made(text: str, image: Image) -> float | None:
    """The time that a config gives for the image or a step (unix seconds); None where it gives none.

    The time that wherry writes in place of a true one, for the sake of reproducible images, says nothing to
    a reader: the time at which the image came into this store stands for it.
    """
    moment = parse_rfc3339(text)
    return image.created if moment == DEFAULT_EPOCH else moment


def layer_size(store: Store, diff_id: Digest) -> int:
    """Bytes of the uncompressed layer; of its blob, while it has not been unpacked and no one knows."""
    size = store.layers.size(diff_id)
    if size is not None:
        return size
    return min((blob.size for blob in store.layers.blobs_of(diff_id)), default=0)


def size(store: Store, image: Image) -> int:
    return sum(layer_size(store, diff_id) for diff_id in image.config.diff_ids)


def shown_id(image_id: Digest, whole: bool) -> str:
    return image_id if whole else digests.short(image_id)
