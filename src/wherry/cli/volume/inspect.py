"""`wherry volume inspect`: volumes as JSON documents of docker's shape."""

from __future__ import annotations

import argparse
from typing import Any

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.container.volumes import Kept
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template, for each volume in turn")
    parser.add_argument("volumes", metavar="VOLUME", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container import volumes
    from wherry.ui import format

    found: list[dict[str, Any]] = []
    code = each(args.volumes, lambda name: found.append(document(volumes.find(default_root(), name))))
    if not args.format:
        print(format.pretty(found), end="")
    for item in found if args.format else ():
        print(format.document(args.format, item), end="")
    return code


def document(volume: Kept) -> dict[str, Any]:
    from wherry.ui.units import rfc3339

    return {
        "CreatedAt": rfc3339(volume.created),
        "Driver": "local",
        "Labels": dict(volume.labels) or None,
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": None,
        "Scope": "local",
    }
