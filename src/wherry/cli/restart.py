"""`wherry restart`: stop containers that run, and start them."""

from __future__ import annotations

import argparse
import sys

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.cli.stop import add_timeout, seconds
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add_timeout(parser)
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.stop import restart

    root, patience = default_root(), seconds(args)

    def one(name: str) -> None:
        if note := restart(root, name, patience):
            print(f"warning: {note}", file=sys.stderr)
        print(name, flush=True)

    return each(args.containers, one)
