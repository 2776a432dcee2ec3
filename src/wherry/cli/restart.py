"""`wherry restart`: stop containers that run, and start them."""

from __future__ import annotations

import argparse

from wherry.base.errors import Unsupported
from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.cli.start import start
from wherry.cli.stop import add_timeout, seconds
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add_timeout(parser)
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container import events
    from wherry.container.containers import Containers
    from wherry.container.stop import stop

    root, patience = default_root(), seconds(args)

    def one(name: str) -> None:
        container = Containers(root).find(name)
        if container.spec.remove:
            raise Unsupported(
                f"container {container.spec.name} cannot be restarted: with --rm it is gone when it stops",
                hint="run it again, or run it without --rm",
            )
        stop(root, container.id, patience)
        start(container.id).connection.close()
        events.record(container.folder, container.spec, "restart")
        print(name, flush=True)

    return each(args.containers, one)
