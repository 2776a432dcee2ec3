"""`wherry network disconnect`: a container leaves a network."""

from __future__ import annotations

import argparse

from wherry.store.store import default_root


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="it is no error if it is not connected")
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container.connecting import disconnect

    disconnect(default_root(), args.container, args.network, is_forced=args.force)
    return 0
