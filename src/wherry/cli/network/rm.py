"""`wherry network rm`: delete networks that no running container is on."""

from __future__ import annotations

import argparse

from wherry.base.errors import WherryError
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="names that there are not are no error")
    parser.add_argument("networks", metavar="NETWORK", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container import networkusers
    from wherry.networks.definition import BUILT_IN

    def one(name: str) -> None:
        if name in BUILT_IN:
            raise WherryError(f"the network {name} is always there, and cannot be removed")
        networkusers.remove(default_root(), name)
        print(name, flush=True)

    return each(args.networks, one, forgive_missing=args.force)
