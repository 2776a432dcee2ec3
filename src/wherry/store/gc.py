"""Garbage collection: what no name, no container and no kept record needs is deleted.

Mark, then sweep, alone in the store (`Store.exclusive`): whatever is being built, pulled or started
holds a lease, so nothing is deleted between its look-up and its use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Set

from wherry.base import labels
from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store import blueprints, parts
from wherry.store.builds import Builds
from wherry.store.cachefolders import CacheFolders
from wherry.store.deleting import Reclaimed, delete_layer, discard
from wherry.store.images import Image
from wherry.store.records import Record
from wherry.store.room import Room
from wherry.store.shrink import present_layers, shrink
from wherry.store.store import Store
from wherry.store.traces import Trace
from wherry.store.usage import Ledger
from wherry.store.uses import Use, last_uses

InUse = Callable[[Store], Collection[Digest]]
"""Gives the images of containers. It is asked when nobody else is in the store."""


def _nothing(_store: Store) -> Collection[Digest]:
    return ()


class Scope(NamedTuple):
    """What may go: `everything` also takes tagged images and all records; `until` spares what is younger, or
    was used later.

    Images that are `in_use` stay. `labels` (`key` or `key=value`) limit the images to those that bear all of
    them. Without `images` no image goes, without `records` no record; what nothing refers to any more goes in
    any case. With `room` the build cache goes by least recent use and only as far as is said there, and
    what failed steps left stays.
    """

    everything: bool = False
    images: bool = True
    records: bool = True
    until: float | None = None
    in_use: InUse = _nothing
    labels: tuple[str, ...] = ()
    room: Room | None = None


def collect(store: Store, scope: Scope) -> Reclaimed:
    """Delete all that is garbage in `scope`; waits for builds, pulls and starts in progress."""
    with store.exclusive():
        gone = Reclaimed(images=_drop_images(store, scope, set(scope.in_use(store))))
        if scope.room:
            gone = gone.plus(_shrink_cache(store, scope, scope.room))
        else:
            gone = gone.plus(_drop_cache(store, scope))
        return gone.plus(_sweep(store, scope.until))


def trim(store: Store, most: int, goal: int, spared: Set[Digest], in_use: InUse) -> tuple[Reclaimed, int]:
    """Bring images and build cache down to `goal` bytes where they take more than `most`: what went, and how
    many bytes they took before. BlockingIOError where others are in the store.

    What an image with a name or one that is `in_use` or `spared` stands on stays, and failed builds do.
    """
    with store.exclusive(wait=False):
        store.records.settle()
        images = store.images.all()
        used = Ledger().count(
            *parts.of_images(store, images), *parts.of_cache(store), *parts.of_failures(store)
        )
        if used <= most:
            return Reclaimed(), used
        kept = spared | set(in_use(store)) | store.images.held()
        held = [image for image in images if image.id in kept]
        transient = [image for image in images if image not in held]
        gone = shrink(store, used - goal, _layers(held) | _layers_of_failures(store), transient)
        return gone.plus(_sweep(store)), used


def _drop_images(store: Store, scope: Scope, in_use: Set[Digest]) -> tuple[Digest, ...]:
    if not scope.images:
        return ()
    spared = in_use if scope.everything else in_use | store.images.held()
    images = [image for image in store.images.all() if image.id not in spared and _may_go(image, scope)]
    staying = _staying(store.images.families(), {image.id for image in images})
    dropped = tuple(image.id for image in images if image.id not in staying)
    for image_id in dropped:
        store.images.delete(image_id)
    return dropped


def _staying(families: list[set[Digest]], doomed: Set[Digest]) -> set[Digest]:
    """The images of `doomed` that stay: those of an index with a name go together or not at all."""
    staying: set[Digest] = set()
    while bound := [family for family in families if not family <= doomed and family & doomed]:
        staying = staying.union(*bound)
        doomed = doomed - staying
    return staying


def _may_go(image: Image, scope: Scope) -> bool:
    if scope.until is not None and image.created > scope.until:
        return False
    return labels.have(image.config.execution.labels, scope.labels)


def _takes_cache(scope: Scope) -> bool:
    """A label filter is about images, so it spares the build cache."""
    return scope.records and not scope.labels


def _shrink_cache(store: Store, scope: Scope, room: Room) -> Reclaimed:
    if not _takes_cache(scope):
        return Reclaimed()
    images = store.images.all()
    ledger = Ledger()
    ledger.count(*parts.of_images(store, images))
    used = ledger.count(*parts.of_cache(store))
    disk = os.statvfs(store.root)
    excess = room.excess(used, disk.f_bavail * disk.f_frsize)
    pinned = _layers(images) | _layers_of_failures(store)
    return shrink(store, excess, pinned, until=scope.until)


def _drop_cache(store: Store, scope: Scope) -> Reclaimed:
    gone = Reclaimed(size=_discard_all_in(store, "logs", scope))
    if not _takes_cache(scope):
        return gone
    images = store.images.all()
    uses = last_uses(store, images)
    _drop_traces(store, scope, uses)
    gone = gone.plus(Reclaimed(records=_drop_records(store, scope, _layers(images), uses)))
    return gone.plus(_drop_builds(store, scope)).plus(Reclaimed(size=_drop_folders(store, scope)))


def _drop_records(store: Store, scope: Scope, kept: Set[Digest], uses: dict[Digest, Use]) -> int:
    """Records of results that no image has."""

    def goes(record: Record) -> bool:
        used = uses[record.layer].time if record.layer else record.used
        if scope.until is not None and used > scope.until:
            return False
        return scope.everything or (record.layer is not None and record.layer not in kept)

    dropped = [record.key for record in store.records.all() if goes(record)]
    store.records.delete(dropped)
    return len(dropped)


def _drop_traces(store: Store, scope: Scope, uses: dict[Digest, Use]) -> None:
    """With everything; a trace is as young as its result."""

    def goes(trace: Trace, used: float) -> bool:
        if trace.layer:
            used = max(used, uses[trace.layer].time)
        return scope.until is None or used <= scope.until

    if scope.everything:
        store.traces.forget(goes)


def _drop_builds(store: Store, scope: Scope) -> Reclaimed:
    """States of failed steps, with everything also what is kept of other builds."""
    builds = Builds(store)
    count = size = 0
    for build in builds.all():
        if (scope.until is None or build.created <= scope.until) and (build.failed or scope.everything):
            size += builds.delete(build.id)
            count += build.failed
    return Reclaimed(failures=count, size=size)


def _drop_folders(store: Store, scope: Scope) -> int:
    """Cache mounts of RUN and what was fetched: with everything, or where the build cache alone is meant."""
    if scope.images and not scope.everything:
        return 0
    caches = CacheFolders(store)
    size = 0
    for cache in caches.all():
        if scope.until is None or cache.used <= scope.until:
            size += caches.delete(cache.name)
    return size + _discard_all_in(store, "cache", scope)


def _discard_all_in(store: Store, folder: str, scope: Scope) -> int:
    """Everything in the folder that the scope does not spare as too young; the bytes that became free."""
    size = 0
    for name in os.listdir(store.path(folder)):
        path = store.path(folder, name)
        if scope.until is None or os.lstat(path).st_mtime <= scope.until:
            size += discard(store, path)
    return size


def _sweep(store: Store, until: float | None = None) -> Reclaimed:
    """Delete what nothing refers to any more, and blobs that came in part; of these what is younger stays."""
    store.indexes.sweep()
    layers, size = _sweep_layers(store)
    _forget_blind_traces(store)
    size += _sweep_blobs(store) + store.partials.delete(until)
    size += blueprints.sweep(store, {image.id for image in store.images.all()})
    store.sweep()
    return Reclaimed(layers=layers, size=size + store.compact())


def _sweep_layers(store: Store) -> tuple[tuple[Digest, ...], int]:
    kept = _layers(store.images.all()) | _layers_of_failures(store)
    kept |= {record.layer for record in store.records.all() if record.layer}
    doomed = sorted(present_layers(store) - kept)
    return tuple(doomed), sum(delete_layer(store, diff_id) for diff_id in doomed)


def _forget_blind_traces(store: Store) -> None:
    """Those of which a layer is gone that they speak of: they cannot be tested any more."""
    present = present_layers(store)

    def goes(trace: Trace, _used: float) -> bool:
        layers = {layer for chain in trace.chains for layer in chain}
        return not (layers | ({trace.layer} if trace.layer else set())) <= present

    store.traces.forget(goes)


def _sweep_blobs(store: Store) -> int:
    kept = store.indexes.blobs()
    for image in store.images.all():
        kept.add(image.id)
        if image.manifest:
            kept.add(image.manifest)
    for diff_id in store.layers.all():
        kept.update(blob.digest for blob in store.layers.blobs_of(diff_id))
    return sum(store.blobs.delete(digest) for digest, _ in list(store.blobs.all()) if digest not in kept)


def _layers(images: Iterable[Image]) -> set[Digest]:
    return {diff_id for image in images for diff_id in image.config.diff_ids}


def _layers_of_failures(store: Store) -> set[Digest]:
    return {layer for build in Builds(store).all() for layer in build.layers}
