"""`wherry restart`: stop containers that run, and start them."""

from __future__ import annotations

import argparse
import sys

from wherry.cli.flags import waiting
from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.cli.stop import add_signal, add_timeout, chosen_signal, seconds
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add_signal(parser)
    add_timeout(parser)
    waiting.register(parser)
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.stop import restart

    waiting.check(args, detached=True)
    root, patience, number = default_root(), seconds(args), chosen_signal(args)

    def one(name: str) -> None:
        container = Containers(root).find(name)
        started = restart(root, container.id, patience, number)
        if started.note:
            print(f"warning: {started.note}", file=sys.stderr)
        waiting.wait(args, container.id, started.name, started)
        print(name, flush=True)

    return each(args.containers, one)
