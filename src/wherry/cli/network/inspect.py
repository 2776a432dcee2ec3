"""`wherry network inspect`: all that is known of networks, as JSON."""

from __future__ import annotations

import argparse
from typing import Any

from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", metavar="NETWORK", nargs="+")
    parser.add_argument(
        "-f", "--format", default="", help="'json' or a Go template, for each network in turn"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from wherry.cli.network import facts as networkfacts
    from wherry.ui import format

    found: list[dict[str, Any]] = []
    code = each(
        args.networks,
        lambda name: found.append(networkfacts.document(networkfacts.find(default_root(), name))),
    )
    if not args.format:
        print(format.pretty(found), end="")
    for document in found if args.format else ():
        print(format.document(args.format, document), end="")
    return code
