"""`wherry system df`: what takes how much disk, and how much of it could be given back.

Everything in the store is counted once, in the first row that it belongs to, so the rows add up to what `du`
says of the store. RECLAIMABLE is what `prune -a` frees; of containers and volumes, which `prune` leaves,
what no running container uses.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.container import volumes
from wherry.container.containers import Container, Containers
from wherry.container.options import mounting
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.store import parts
from wherry.store.builds import Builds
from wherry.store.store import Store
from wherry.store.usage import Ledger
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
    parser.add_argument("-v", "--verbose", action="store_true", help="Show every image, container and volume")


def run(args: argparse.Namespace) -> int:
    if args.verbose and args.format:
        raise UsageError("--verbose prints several tables: --format does not go with it")
    if args.verbose:
        from wherry.cli import dfverbose

        print(dfverbose.text(), end="")
        return 0
    print(format.listing(args.format, HEADERS, list(HEADERS), map(_row, _usages())), end="")
    return 0


def _usages() -> list[Usage]:
    ledger = Ledger()
    with Store.open() as store:
        modes.enter_as_user()
        containers = Containers(store.root).all()
        usages = [
            _images(store, containers, ledger),
            _containers(store, containers, ledger),
            _volumes(store, containers, ledger),
            _build_cache(store, ledger),
            _failures(store, ledger),
        ]
        spare = store.room_of_cache()
        partials = store.partials.paths()
        root = store.root
    # The tables are counted once they are closed: what SQLite keeps beside open ones goes with this command.
    return [*usages, _upkeep(root, spare, partials, ledger)]


def _row(usage: Usage) -> dict[str, object]:
    share = f" ({100 * usage.reclaimable // usage.size}%)" if usage.size else ""
    return {
        "Type": usage.kind,
        "TotalCount": str(usage.total),
        "Active": str(usage.active),
        "Size": units.size(usage.size),
        "Reclaimable": units.size(usage.reclaimable) + share,
    }


def _images(store: Store, containers: list[Container], ledger: Ledger) -> Usage:
    """What images that containers use share with others is theirs."""
    images = store.images.all()
    in_use = {Digest(container.spec.image) for container in containers}
    active = [image for image in images if image.id in in_use]
    held = ledger.count(*parts.of_images(store, active))
    idle = ledger.count(*parts.of_images(store, images))
    return Usage("Images", len(images), len(active), held + idle, idle)


def _containers(store: Store, containers: list[Container], ledger: Ledger) -> Usage:
    running = [container for container in containers if container.is_running]
    used = ledger.count(*(store.path("containers", container.id) for container in running))
    idle = ledger.count(*(store.path("containers", container.id) for container in containers))
    return Usage("Containers", len(containers), len(running), used + idle, idle)


def _volumes(store: Store, containers: list[Container], ledger: Ledger) -> Usage:
    in_use = {name for container in containers for name in mounting.names(container.spec.volumes)}
    names = volumes.names(store.root)
    used = [name for name in names if name in in_use]
    held = ledger.count(*(store.path("volumes", name) for name in used))
    idle = ledger.count(*(store.path("volumes", name) for name in names))
    return Usage("Local Volumes", len(names), len(used), held + idle, idle)


def _failures(store: Store, ledger: Ledger) -> Usage:
    """The states of failed steps, for `wherry debug`."""
    size = ledger.count(*parts.of_failures(store))
    return Usage("Failed Steps", sum(build.failed for build in Builds(store).all()), 0, size, size)


def _build_cache(store: Store, ledger: Ledger) -> Usage:
    """Records whose layer an image has are active, and take nothing of their own."""
    kept = {diff_id for image in store.images.all() for diff_id in image.config.diff_ids}
    records = store.records.all()
    active = sum(record.layer is None or record.layer in kept for record in records)
    size = ledger.count(*parts.of_cache(store))
    return Usage("Build Cache", len(records), active, size, size)


def _upkeep(root: str, spare: int, partials: Sequence[str], ledger: Ledger) -> Usage:
    """All else: tables, the room that is kept for `prune`, blobs that came in part, unfinished work."""
    unfinished = os.listdir(f"{root}/tmp")
    partial = ledger.count(*partials)
    size = ledger.count(root)
    total = 1 + len(partials) + len(unfinished)
    return Usage("Upkeep", total, 1, partial + size, partial + min(spare, size))
