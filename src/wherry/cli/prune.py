"""`wherry prune`, `image prune`, `builder prune`, `cache prune`: delete what nothing needs, and say what that
freed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from wherry.base import sizes
from wherry.base.errors import UsageError
from wherry.cli import filters
from wherry.cli.confirm import confirm
from wherry.container.containers import images_in_use
from wherry.runtime import modes
from wherry.store import reserve
from wherry.store.deleting import Reclaimed
from wherry.store.gc import Scope, collect
from wherry.store.room import Room
from wherry.store.store import Store, default_root
from wherry.ui import units


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    images, records = _kinds(parser.get_default("words"))
    everything = (
        "Remove all that no container uses, not only images without a name and their cache"
        if images
        else "Remove all build cache, not only what no image needs"
    )
    add("-a", "--all", action="store_true", help=everything)
    add("-f", "--force", action="store_true", help="Do not ask")
    if images and records:
        add("--volumes", action="store_true", help="Remove anonymous volumes that no container has too")
    known = ["until=24h or a point in time"]
    known += ["unused-for=24h (build cache)"] if records else []
    known += ["label=KEY[=VALUE] (images)"] if images else []
    add(
        "--filter",
        metavar="filter",
        action="append",
        default=[],
        help=f"Remove only what matches: {', '.join(known)}",
    )
    if records:
        _register_room(parser)


def _register_room(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    least = "Remove the least recently used build cache first, and only"
    add(
        "--keep-storage",
        "--reserved-space",
        metavar="SIZE",
        default="",
        help=f"{least} until it takes no more than this, such as 10GB",
    )
    add("--max-used-space", metavar="SIZE", default="", help="The same, but never below --reserved-space")
    add(
        "--min-free-space",
        metavar="SIZE",
        default="",
        help=f"{least} until this much of the disk is free, but never below --reserved-space",
    )


def run(args: argparse.Namespace) -> int:
    images, records = _kinds(args.words)
    scope = _scope(args, images, records)
    with_volumes = images and records and args.volumes
    if with_volumes and scope.until is not None:
        raise UsageError("--volumes does not go with a filter of times: volumes have none that counts")
    if not args.force:
        confirm(_warning(scope, with_volumes))
    root = default_root()
    reserve.give_up(root)
    try:
        with Store.open(root) as store:
            modes.enter_as_user()
            reclaimed = collect(store, scope)
            deleted, freed = _prune_volumes(root, scope) if with_volumes else ([], 0)
    finally:
        reserve.keep(root)
    print(_report(reclaimed, deleted, freed), end="")
    return 0


def _prune_volumes(root: str, scope: Scope) -> tuple[list[str], int]:
    from wherry.container import volumesearch

    return volumesearch.prune(root, labels=scope.labels)


def _scope(args: argparse.Namespace, images: bool, records: bool) -> Scope:
    known = ("until", *(("unused-for",) if records else ()), *(("label",) if images else ()))
    wanted = filters.parse(args.filter, known)
    now = time.time()
    moments = [units.moment(text, now) for text in wanted["until"]]
    moments += [now - units.duration(text) for text in wanted.get("unused-for", ())]
    room = _room(args) if records else None
    if room and wanted.get("label"):
        raise UsageError(
            "--filter label= is about images, and a size about the build cache: give one of them"
        )
    return Scope(
        everything=args.all,
        images=images,
        records=records,
        until=min(moments, default=None),
        in_use=images_in_use,
        labels=tuple(wanted.get("label", ())),
        room=room,
    )


def _room(args: argparse.Namespace) -> Room | None:
    """What the build cache may take; None where nothing is said of that."""
    room = Room(
        reserved=_size("--keep-storage", args.keep_storage),
        most=_size("--max-used-space", args.max_used_space),
        free=_size("--min-free-space", args.min_free_space),
    )
    return None if room == Room() else room


def _size(flag: str, text: str) -> int | None:
    if not text:
        return None
    size = sizes.parse(text)
    if size is None:
        raise UsageError(f"{flag} {text}: not a size", hint=sizes.FORM)
    return size


def _kinds(words: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether images go, and whether the build cache goes."""
    return words[0] not in ("builder", "cache"), words[0] != "image"


def _warning(scope: Scope, with_volumes: bool) -> str:
    parts = ["WARNING! This will remove:"]
    if scope.images and scope.everything:
        parts.append("  - all images that no container uses")
    elif scope.images:
        parts.append("  - all images without a name")
    if scope.records and scope.room:
        parts.append("  - the least recently used build cache that is too much")
    elif scope.records:
        parts.append("  - all build cache" if scope.everything else "  - build cache that no image needs")
        parts.append("  - what failed steps left")
    if with_volumes:
        parts.append("  - all anonymous volumes that no container has")
    return "\n".join(parts)


def _report(reclaimed: Reclaimed, volumes: Sequence[str], freed: int) -> str:
    parts = []
    if volumes:
        parts += ["Deleted Volumes:", *volumes, ""]
    if reclaimed.images:
        parts += ["Deleted Images:", *(f"deleted: {image}" for image in reclaimed.images), ""]
    if reclaimed.layers:
        parts += ["Deleted layers:", *reclaimed.layers, ""]
    if reclaimed.records:
        parts += [f"Deleted build cache records: {reclaimed.records}", ""]
    if reclaimed.failures:
        parts += [f"Deleted states of failed steps: {reclaimed.failures}", ""]
    return "\n".join([*parts, f"Total reclaimed space: {units.size(reclaimed.size + freed)}", ""])
