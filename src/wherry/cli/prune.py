"""`wherry prune`, `image prune`, `builder prune`: delete what nothing needs, and say what that freed."""

from __future__ import annotations

import argparse
import sys
import time

from wherry.base.errors import WherryError
from wherry.cli import filters
from wherry.container.containers import images_in_use
from wherry.runtime import modes
from wherry.store import reserve
from wherry.store.gc import Reclaimed, Scope, collect
from wherry.store.store import Store, default_root
from wherry.ui import units


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="Remove all that no container uses, not only images without a name and their cache",
    )
    parser.add_argument("-f", "--force", action="store_true", help="Do not ask")
    parser.add_argument(
        "--filter",
        metavar="filter",
        action="append",
        default=[],
        help="Remove only what matches: until=24h or a point in time, label=KEY[=VALUE] (images)",
    )


def run(args: argparse.Namespace) -> int:
    images, records = _kinds(args.words)
    wanted = filters.parse(args.filter, ("until", "label") if images else ("until",))
    now = time.time()
    until = min((units.moment(text, now) for text in wanted["until"]), default=None)
    if not args.force and not _confirmed(_warning(images, records, args.all)):
        raise WherryError("nothing was removed", hint="answer y, or use -f")
    scope = Scope(
        everything=args.all,
        images=images,
        records=records,
        until=until,
        in_use=images_in_use,
        labels=tuple(wanted.get("label", ())),
    )
    root = default_root()
    reserve.give_up(root)
    try:
        with Store.open(root) as store:
            modes.enter_as_user()
            reclaimed = collect(store, scope)
    finally:
        reserve.keep(root)
    print(_report(reclaimed), end="")
    return 0


def _kinds(words: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether images go, and whether the build cache goes."""
    return words[0] != "builder", words[0] != "image"


def _warning(images: bool, records: bool, everything: bool) -> str:
    parts = ["WARNING! This will remove:"]
    if images and everything:
        parts.append("  - all images that no container uses")
    elif images:
        parts.append("  - all images without a name")
    if records:
        parts.append("  - all build cache" if everything else "  - build cache that no image needs")
        parts.append("  - what failed steps left")
    return "\n".join(parts)


def _confirmed(warning: str) -> bool:
    print(f"{warning}\n\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # the end of input, where nobody pressed return
        print()
    return answer.strip().lower() in ("y", "yes")


def _report(reclaimed: Reclaimed) -> str:
    parts = []
    if reclaimed.images:
        parts += ["Deleted Images:", *(f"deleted: {image}" for image in reclaimed.images), ""]
    if reclaimed.layers:
        parts += ["Deleted layers:", *reclaimed.layers, ""]
    if reclaimed.records:
        parts += [f"Deleted build cache records: {reclaimed.records}", ""]
    if reclaimed.failures:
        parts += [f"Deleted states of failed steps: {reclaimed.failures}", ""]
    return "\n".join([*parts, f"Total reclaimed space: {units.size(reclaimed.size)}", ""])
