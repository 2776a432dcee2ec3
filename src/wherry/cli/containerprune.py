"""`wherry container prune`: delete the containers that do not run, and say what that freed."""

from __future__ import annotations

import argparse

from wherry.cli import filters
from wherry.cli.confirm import confirm
from wherry.cli.parser import Parser
from wherry.store.store import default_root
from wherry.ui import units

_WARNING = "WARNING! This will remove all stopped containers."


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-f", "--force", action="store_true", help="do not ask")
    known = "until=24h or a point in time, label=KEY[=VALUE]"
    add("--filter", metavar="FILTER", action="append", default=[], help=f"remove only what matches: {known}")


def run(args: argparse.Namespace) -> int:
    from wherry.container.prune import prune

    wanted = filters.parse(args.filter, ("until", "label"))
    until = filters.until(wanted["until"])
    if not args.force:
        confirm(_WARNING)
    deleted, freed = prune(default_root(), until, wanted["label"])
    if deleted:
        print("\n".join(["Deleted Containers:", *deleted, ""]))
    print(f"Total reclaimed space: {units.size(freed)}")
    return 0
