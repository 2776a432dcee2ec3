"""`wherry system df`: what takes how much disk, and how much of it `prune -a` would give back."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable

from wherry.base.tuples import NamedTuple
from wherry.container.containers import Containers, images_in_use
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.store.builds import Builds
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.store.usage import disk_usage
from wherry.ui import format, units

HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


class Usage(NamedTuple):
    """Sizes are bytes on disk; `active` is how many of `total` are in use."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")


def run(args: argparse.Namespace) -> int:
    with Store.open() as store:
        modes.enter_as_user()
        usages = [_images(store), _containers(store), _volumes(store), _build_cache(store), _failures(store)]
    print(format.listing(args.format, HEADERS, list(HEADERS), map(_row, usages)), end="")
    return 0


def _row(usage: Usage) -> dict[str, object]:
    share = f" ({100 * usage.reclaimable // usage.size}%)" if usage.size else ""
    return {
        "Type": usage.kind,
        "TotalCount": str(usage.total),
        "Active": str(usage.active),
        "Size": units.size(usage.size),
        "Reclaimable": units.size(usage.reclaimable) + share,
    }


def _images(store: Store) -> Usage:
    images = store.images.all()
    in_use = images_in_use(store).keys()
    active = [image for image in images if image.id in in_use]
    size = _size_of_layers(store, _layers(images))
    return Usage("Images", len(images), len(active), size, size - _size_of_layers(store, _layers(active)))


def _containers(store: Store) -> Usage:
    sizes = [
        (item.is_running, disk_usage(store.path("containers", item.id)))
        for item in Containers(store.root).all()
    ]
    stopped = sum(size for running, size in sizes if not running)
    running = sum(size for running, size in sizes if running)
    return Usage("Containers", len(sizes), sum(running for running, _ in sizes), running + stopped, stopped)


def _volumes(store: Store) -> Usage:
    in_use = {
        volume.source
        for item in Containers(store.root).all()
        for volume in item.spec.volumes
        if volume.kind == "volume"
    }
    sizes = {name: disk_usage(store.path("volumes", name)) for name in os.listdir(store.path("volumes"))}
    idle = sum(size for name, size in sizes.items() if name not in in_use)
    return Usage("Local Volumes", len(sizes), len(sizes.keys() & in_use), sum(sizes.values()), idle)


def _build_cache(store: Store) -> Usage:
    """Records whose layer an image has are active, and take nothing of their own."""
    kept = _layers(store.images.all())
    records = store.records.all()
    own = {record.layer for record in records if record.layer and record.layer not in kept}
    active = sum(record.layer is None or record.layer in kept for record in records)
    folders = sum(disk_usage(store.path(name)) for name in ("cache-mounts", "cache"))
    size = _size_of_layers(store, own) + folders
    return Usage("Build Cache", len(records), active, size, size)


def _failures(store: Store) -> Usage:
    """The states of failed steps, for `wherry debug`."""
    sizes = [build.size for build in Builds(store).all() if build.failed]
    return Usage("Failed Steps", len(sizes), 0, sum(sizes), sum(sizes))


def _layers(images: Iterable[Image]) -> set[Digest]:
    return {diff_id for image in images for diff_id in image.config.diff_ids}


def _size_of_layers(store: Store, diff_ids: Iterable[Digest]) -> int:
    """Layers that several images share count once."""
    return sum(
        disk_usage(store.layers.folder(diff_id)) + sum(blob.size for blob in store.layers.blobs_of(diff_id))
        for diff_id in diff_ids
    )
