"""`wherry kill`: a signal to containers."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-s", "--signal", metavar="SIGNAL", default="KILL", help="a name or a number (default KILL)")
    add("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.signals import number_of
    from wherry.container.stop import kill

    number, root = number_of(args.signal), default_root()

    def one(name: str) -> None:
        kill(root, name, number)
        print(name, flush=True)

    return each(args.containers, one)
