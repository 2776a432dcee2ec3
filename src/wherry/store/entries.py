"""What the build cache consists of: one entry for each thing that can be deleted alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store import parts
from wherry.store.builds import Builds
from wherry.store.cachefolders import CacheFolders
from wherry.store.images import Image
from wherry.store.records import Record
from wherry.store.shrink import present_layers
from wherry.store.store import Store
from wherry.store.usage import Ledger
from wherry.store.uses import Use, last_uses

RESULT, CACHE_MOUNT, INTERNAL = "regular", "exec.cachemount", "internal"
"""Kinds, in BuildKit's words."""

_FETCHED = {"http": "source.http", "git": "source.git"}
"""Kinds of what lies in `cache/`, by how the name begins; all else there is what wherry remembers."""


class Entry(NamedTuple):
    """`size` in bytes on disk, `created` and `used` unix seconds, 0 where nobody knows. One that is `held`,
    by an image or a failed step, is not deleted as long as that is there."""

    id: str
    kind: str
    text: str
    created: float
    used: float
    size: int
    held: bool = False


def entries(store: Store) -> list[Entry]:
    """The entries, the least recently used first. A file that several have counts for one of them."""
    images = store.images.all()
    ledger = Ledger()
    held = layers_of(images)
    results = list(_results(store, held | _of_failures(store), images, ledger))
    ledger.count(*parts.of_images(store, images))
    found = [*results, *_folders(store, ledger)]
    return sorted(found, key=lambda entry: (entry.used, entry.id))


def layers_of(images: Iterable[Image]) -> set[Digest]:
    return {diff_id for image in images for diff_id in image.config.diff_ids}


def _of_failures(store: Store) -> set[Digest]:
    return {layer for build in Builds(store).all() for layer in build.layers}


def _results(store: Store, held: set[Digest], images: list[Image], ledger: Ledger) -> Iterator[Entry]:
    """A layer that an image has is an entry where a step gave it; what was pulled or loaded is none."""
    uses = last_uses(store, images)
    records: dict[Digest, list[Record]] = {}
    for record in store.records.all():
        if record.layer:
            records.setdefault(record.layer, []).append(record)
    layers = (present_layers(store) - held) | (records.keys() & present_layers(store))
    # What images hold comes first: a file that a held layer shares with another one stays with it.
    for layer in sorted(layers, key=lambda layer: (layer not in held, layer)):
        known = records.get(layer)
        yield Entry(
            digests.short(layer),
            RESULT,
            known[0].description if known else "",
            known[0].created if known else 0.0,
            uses.get(layer, Use()).time,
            ledger.count(*parts.of_layers(store, [layer])),
            layer in held,
        )


def _folders(store: Store, ledger: Ledger) -> Iterator[Entry]:
    caches = CacheFolders(store)
    for cache in caches.all():
        path = caches.path(cache.name)
        made = os.stat(path).st_mtime
        yield Entry(cache.name, CACHE_MOUNT, "a cache of RUN", made, cache.used, ledger.count(path))
    for path in parts.within(store, "cache"):
        name = os.path.basename(path)
        used = os.lstat(path).st_mtime
        kind = _FETCHED.get(name.partition("-")[0], INTERNAL)
        text = "what wherry remembers" if kind == INTERNAL else "what was fetched"
        yield Entry(name, kind, text, used, used, ledger.count(path))
    logs = list(parts.within(store, "logs"))
    if logs:
        used = os.stat(store.path("logs")).st_mtime
        yield Entry("logs", INTERNAL, "logs of steps that failed", used, used, ledger.count(*logs))
    builds = [build for build in Builds(store).all() if not build.failed]
    if builds:
        size = ledger.count(*(store.path("builds", build.id) for build in builds))
        times = [build.created for build in builds]
        yield Entry("builds", INTERNAL, "what is known of builds", min(times), max(times), size)
