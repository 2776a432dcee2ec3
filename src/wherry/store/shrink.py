"""Makes the build cache smaller by what was used least of late.

Its parts are the layers that no image needs, cache mounts, what was fetched, logs, and what is kept of builds
that succeeded. A layer is never deleted before those that stand on it (`uses.py`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Set
from functools import partial

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.builds import Builds
from wherry.store.cachefolders import CacheFolders
from wherry.store.deleting import Reclaimed, delete_layer, discard
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.store.uses import Use, last_uses


class _Part(NamedTuple):
    """Something that can be deleted alone. `delete` gives the bytes that became free."""

    use: Use
    delete: Callable[[], int]
    layer: Digest | None = None


def shrink(
    store: Store,
    excess: int,
    pinned: Set[Digest],
    transient: Collection[Image] = (),
    until: float | None = None,
) -> Reclaimed:
    """Free `excess` bytes, or as many as there are, the least recently used parts first; alone in the store.

    The layers in `pinned` stay, and all that was used after `until` (unix seconds). The images in `transient`
    hold nothing: one of which a layer goes is deleted first.
    """
    transient = list(transient)
    records: dict[Digest | None, list[Digest]] = defaultdict(list)
    for record in store.records.all():
        records[record.layer].append(record.key)
    gone = Reclaimed()
    reached = 0.0
    for part in sorted(_parts(store, pinned, transient), key=lambda part: part.use):
        if gone.size >= excess or (until is not None and part.use.time > until):
            break
        reached = part.use.time
        if part.layer:
            images = _forget_images(store, part.layer, transient)
            store.records.delete(records[part.layer])
            gone = gone.plus(Reclaimed(images, len(records[part.layer]), layers=(part.layer,)))
        gone = gone.plus(Reclaimed(size=part.delete()))
    return gone.plus(Reclaimed(records=_forget_empty_results(store, reached)))


def present_layers(store: Store) -> set[Digest]:
    """The layers that the tables or a folder speak of."""
    return set(store.layers.all()) | {digests.from_hex(name) for name in os.listdir(store.path("layers"))}


def _parts(store: Store, pinned: Set[Digest], transient: Collection[Image]) -> Iterator[_Part]:
    uses = last_uses(store, transient)
    for diff_id in present_layers(store) - pinned:
        # A layer that nothing speaks of any more, as a kill leaves it, has been of no use for longest.
        yield _Part(uses.get(diff_id, Use()), partial(delete_layer, store, diff_id), diff_id)
    caches = CacheFolders(store)
    for cache in caches.all():
        yield _Part(Use(cache.used), partial(caches.delete, cache.name))
    for folder in ("cache", "logs"):
        for name in os.listdir(store.path(folder)):
            path = store.path(folder, name)
            yield _Part(Use(os.lstat(path).st_mtime), partial(discard, store, path))
    for build in Builds(store).all():
        if not build.failed:
            yield _Part(Use(build.created), partial(_delete_build, store, build.id))


def _delete_build(store: Store, name: str) -> int:
    try:
        return Builds(store).delete(name)
    except WherryError:
        return 0  # somebody is in it


def _forget_images(store: Store, layer: Digest, transient: list[Image]) -> tuple[Digest, ...]:
    """Delete the images that have the layer, from the list too."""
    gone = [image for image in transient if layer in image.config.diff_ids]
    for image in gone:
        store.images.delete(image.id)
        transient.remove(image)
    return tuple(image.id for image in gone)


def _forget_empty_results(store: Store, until: float) -> int:
    """Results that changed nothing take no room of their own: they go with those of their time."""
    keys = [record.key for record in store.records.all() if record.layer is None and record.used <= until]
    store.records.delete(keys)
    return len(keys)
