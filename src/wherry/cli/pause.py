"""`wherry pause`: stop all processes of containers where they are."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.monitor import control
    from wherry.container.monitor.connection import tell

    containers = Containers(default_root())

    def one(name: str) -> None:
        tell(containers.find(name), control.PAUSE)
        print(name, flush=True)

    return each(args.containers, one)
