"""Which files and folders of a store belong to an image, and which to the build cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from wherry.oci.digest import Digest
from wherry.store import blueprints
from wherry.store.builds import Builds
from wherry.store.images import Image
from wherry.store.store import Store


def of_images(store: Store, images: Iterable[Image]) -> Iterator[str]:
    """The paths of what the images are made of; of what they share, more than once."""
    for image in images:
        yield store.blobs.path(image.id)
        if image.manifest:
            yield store.blobs.path(image.manifest)
        yield from map(store.blobs.path, store.indexes.blobs_with(image.id))
        if os.path.exists(drawn := store.blueprint(image.id)):
            yield drawn
        yield from of_layers(store, image.config.diff_ids)


def of_layers(store: Store, diff_ids: Iterable[Digest]) -> Iterator[str]:
    for diff_id in diff_ids:
        yield store.layers.folder(diff_id)
        yield from (store.blobs.path(blob.digest) for blob in store.layers.blobs_of(diff_id))


def of_cache(store: Store) -> Iterator[str]:
    """The paths of the build cache, and of what images have too: those are to be counted first."""
    for folder in ("layers", "blobs/sha256", blueprints.FOLDER, "cache-mounts", "cache", "logs"):
        yield from within(store, folder)
    yield from (store.path("builds", build.id) for build in Builds(store).all() if not build.failed)


def within(store: Store, folder: str) -> Iterator[str]:
    """The paths of what a folder of the store has; it may not be there yet."""
    try:
        names = os.listdir(store.path(folder))
    except FileNotFoundError:
        return
    yield from (store.path(folder, name) for name in names)


def of_failures(store: Store) -> Iterator[str]:
    """The paths of what is kept of failed builds, without the layers that it stands on."""
    yield from (store.path("builds", build.id) for build in Builds(store).all() if build.failed)
