"""`wherry volume rm`: delete volumes that no container has."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true", help="take it for no failure that one is not there"
    )
    parser.add_argument("volumes", metavar="VOLUME", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.base.errors import NotFound
    from wherry.container import volumes

    def one(name: str) -> None:
        try:
            volumes.remove(default_root(), name)
        except NotFound:
            if not args.force:
                raise
        print(name, flush=True)

    return each(args.volumes, one)
