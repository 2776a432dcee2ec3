"""`wherry volume prune`: delete the volumes that no container has, and say what that freed."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.cli import filters
from wherry.cli.confirm import confirm
from wherry.cli.parser import Parser
from wherry.runtime import modes
from wherry.store.store import default_root
from wherry.ui import units


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="those with a name too, not only anonymous ones")
    add("-f", "--force", action="store_true", help="do not ask")
    known = "label=KEY[=VALUE], label!=KEY[=VALUE], all=true"
    add("--filter", metavar="FILTER", action="append", default=[], help=f"remove only what matches: {known}")


def run(args: argparse.Namespace) -> int:
    from wherry.container import volumesearch

    wanted = filters.parse(args.filter, ("label", "label!", "all"))
    if args.all and wanted["all"]:
        raise UsageError("--all and --filter all= say the same thing in two ways")
    everything = args.all or bool(filters.truth(wanted["all"], "all"))
    kind = "volumes" if everything else "anonymous volumes"
    if not args.force:
        confirm(f"WARNING! This will remove all {kind} that no container has.")
    root = default_root()
    modes.enter_as_user()
    deleted, freed = volumesearch.prune(
        root, everything=everything, labels=wanted["label"], without=wanted["label!"]
    )
    if deleted:
        print("\n".join(["Deleted Volumes:", *deleted, ""]))
    print(f"Total reclaimed space: {units.size(freed)}")
    return 0
