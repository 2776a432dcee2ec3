"""`wherry wait`: the exit codes of containers, when they have ended."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.stop import wait

    root = default_root()
    return each(args.containers, lambda name: print(wait(root, name), flush=True))
