"""`wherry explain`: why the steps of a build ran, and what they read."""

from __future__ import annotations

import argparse
import os
import sys

from wherry.cli.parser import Parser
from wherry.store.builds import Builds
from wherry.store.store import Store


def register(parser: Parser) -> None:
    parser.usage = "wherry explain [OPTIONS] [ID|IMAGE]"
    add = parser.add_argument
    add("--step", metavar="N", default="", help="explain this step alone, as progress numbers it")
    add("--reads", action="store_true", help="show what steps read of the files that were copied or mounted")
    add("--unused", action="store_true", help="show the copied files that no step and no image needs")
    add("--json", action="store_true", help="print all of that as JSON")
    add("build", metavar="ID|IMAGE", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    from wherry.build import explain, picking
    from wherry.ui import explained, terminal

    with Store.open() as store, store.lease():
        kept = picking.pick(Builds(store), args.build, failed=False)
        whole = args.json and not args.step and not kept.failed
        found = explain.explain(
            store, kept, args.step, reads=args.reads or args.json, unused=args.unused or whole
        )
    if args.json:
        import json

        print(json.dumps(explained.document(found), indent=2))
        return 0
    columns = os.get_terminal_size().columns if sys.stdout.isatty() else None
    print(explained.text(found, color=terminal.colors(sys.stdout), columns=columns), end="")
    return 0
