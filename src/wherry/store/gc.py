"""Garbage collection: what no name, no container and no kept record needs is deleted.

Mark, then sweep, alone in the store (`Store.exclusive`): whatever is being built, pulled or started
holds a lease, so nothing is deleted between its look-up and its use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Set

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.builds import Builds
from wherry.store.cachefolders import CacheFolders
from wherry.store.images import Image
from wherry.store.records import Record
from wherry.store.store import Store, remove_tree
from wherry.store.traces import Trace
from wherry.store.usage import disk_usage


class Reclaimed(NamedTuple):
    """What a collection deleted; `size` in bytes on disk, `failures` are failed builds that were kept."""

    images: tuple[Digest, ...]
    records: int
    failures: int
    layers: tuple[Digest, ...]
    size: int


def _nothing(_store: Store) -> Collection[Digest]:
    return ()


class Scope(NamedTuple):
    """What may go: `everything` also takes tagged images and all records; `until` spares what is younger.

    `in_use` gives the images of containers, asked when nobody else is in the store: they stay. `labels`
    (`key` or `key=value`) limit the images to those that bear all of them. Without `images` no image goes,
    without `records` no record; what nothing refers to any more is swept in any case.
    """

    everything: bool = False
    images: bool = True
    records: bool = True
    until: float | None = None
    in_use: Callable[[Store], Collection[Digest]] = _nothing
    labels: tuple[str, ...] = ()


def collect(store: Store, scope: Scope) -> Reclaimed:
    """Delete all that is garbage in `scope`; waits for builds, pulls and starts in progress."""
    with store.exclusive():
        images = _drop_images(store, scope, set(scope.in_use(store)))
        records = _drop_records(store, scope)
        failures, freed = _drop_builds(store, scope)
        layers, size = _sweep_layers(store)
        _drop_traces(store, scope)
        size += freed + _sweep_blobs(store)
        size += _remove_all_in(store.path("logs"), scope) + _drop_caches(store, scope)
        store.sweep()
    return Reclaimed(images, records, failures, layers, size)


def _drop_images(store: Store, scope: Scope, in_use: Set[Digest]) -> tuple[Digest, ...]:
    images = (image for image in store.images.all() if image.id not in in_use)
    dropped = tuple(image.id for image in images if _may_go(store, image, scope))
    for image_id in dropped:
        store.images.delete(image_id)
    return dropped


def _may_go(store: Store, image: Image, scope: Scope) -> bool:
    if not scope.images or (scope.until is not None and image.created > scope.until):
        return False
    labels = dict(image.config.execution.labels)
    for wanted in scope.labels:
        key, equals, value = wanted.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return scope.everything or not store.images.names(image.id)


def _drop_records(store: Store, scope: Scope) -> int:
    """Records of results that no image has. A label filter is about images, so it spares all records."""
    if scope.labels or not scope.records:
        return 0
    kept = _layers_of_images(store)

    def goes(record: Record) -> bool:
        if scope.until is not None and record.used > scope.until:
            return False
        return scope.everything or (record.layer is not None and record.layer not in kept)

    dropped = [record.key for record in store.records.all() if goes(record)]
    store.records.delete(dropped)
    return len(dropped)


def _drop_builds(store: Store, scope: Scope) -> tuple[int, int]:
    """States of failed steps, with everything also what is kept of other builds: the number of states, and
    the bytes of all."""
    if scope.labels or not scope.records:
        return 0, 0
    builds = Builds(store)
    count = size = 0
    for build in builds.all():
        if (scope.until is None or build.created <= scope.until) and (build.failed or scope.everything):
            size += disk_usage(store.path("builds", build.id))
            builds.delete(build.id)
            count += build.failed
    return count, size


def _drop_traces(store: Store, scope: Scope) -> None:
    """Traces go with all records, and with any of the layers that they speak of."""
    present = _present_layers(store)

    def goes(trace: Trace, used: float) -> bool:
        layers = {layer for chain in trace.chains for layer in chain}
        layers |= {trace.layer} if trace.layer else set()
        if not layers <= present:
            return True
        is_old = scope.until is None or used <= scope.until
        return scope.everything and scope.records and not scope.labels and is_old

    store.traces.forget(goes)


def _layers_of_images(store: Store) -> set[Digest]:
    return {diff_id for image in store.images.all() for diff_id in image.config.diff_ids}


def _present_layers(store: Store) -> set[Digest]:
    return set(store.layers.all()) | {digests.from_hex(name) for name in os.listdir(store.path("layers"))}


def _sweep_layers(store: Store) -> tuple[tuple[Digest, ...], int]:
    kept = _layers_of_images(store) | {record.layer for record in store.records.all() if record.layer}
    kept |= {layer for build in Builds(store).all() for layer in build.layers}
    doomed = _present_layers(store) - kept
    size = 0
    for diff_id in sorted(doomed):
        folder = store.layers.folder(diff_id)
        size += disk_usage(folder)
        blobs = store.layers.blobs_of(diff_id)
        store.layers.forget(diff_id)
        remove_tree(folder)
        size += sum(store.blobs.delete(blob.digest) for blob in blobs)
    return tuple(sorted(doomed)), size


def _sweep_blobs(store: Store) -> int:
    kept: set[Digest] = set()
    for image in store.images.all():
        kept.add(image.id)
        if image.manifest:
            kept.add(image.manifest)
    for diff_id in store.layers.all():
        kept.update(blob.digest for blob in store.layers.blobs_of(diff_id))
    return sum(store.blobs.delete(digest) for digest, _ in list(store.blobs.all()) if digest not in kept)


def _remove_all_in(folder: str, scope: Scope) -> int:
    """Everything in the folder that the scope does not spare as too young; its bytes."""
    size = 0
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if scope.until is None or os.lstat(path).st_mtime <= scope.until:
            size += disk_usage(path)
            remove_tree(path) if os.path.isdir(path) else os.unlink(path)
    return size


def _drop_caches(store: Store, scope: Scope) -> int:
    """Cache mounts of RUN and what was fetched: with everything, or where the build cache alone is meant."""
    if scope.labels or not scope.records or (scope.images and not scope.everything):
        return 0
    caches = CacheFolders(store)
    size = 0
    for cache in caches.all():
        if scope.until is None or cache.used <= scope.until:
            size += disk_usage(caches.path(cache.name))
            caches.delete(cache.name)
    return size + _remove_all_in(store.path("cache"), scope)
