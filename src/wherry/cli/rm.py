"""`wherry rm`: delete containers."""

from __future__ import annotations

import argparse

from wherry.cli.flags.refused import REFUSED
from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-f", "--force", action="store_true", help="end the container first where it still runs")
    add("-v", "--volumes", action="store_true", help="remove its anonymous volumes too")
    parser.refused = dict.fromkeys(("-l", "--link"), REFUSED["--link"])
    add("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.base.errors import NotFound
    from wherry.container.stop import remove

    root = default_root()

    def one(name: str) -> None:
        try:
            remove(root, name, force=args.force, with_volumes=args.volumes)
        except NotFound:
            # With -f, what is to be gone and is not there is no failure.
            if not args.force:
                raise
            return
        print(name, flush=True)

    return each(args.containers, one)
