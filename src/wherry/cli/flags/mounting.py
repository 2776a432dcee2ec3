"""The flags of `run` and `create` about what is mounted."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.options import mountwords
from wherry.container.options.mounting import Inheritance, Volume


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-v", "--volume", metavar="SOURCE:TARGET[:ro]", action="append", help="mount a host path or a volume")
    mount = "type=bind, volume or tmpfs, source=, target= ..."
    add("--mount", metavar="KEY=VALUE,...", action="append", help=f"the same in many words: {mount}")
    add("--tmpfs", metavar="TARGET[:OPTIONS]", action="append", help="mount a folder that lies in memory")
    add("--volumes-from", metavar="CONTAINER[:ro]", action="append", help="mount what another container has")


def read(args: argparse.Namespace) -> tuple[Volume, ...]:
    return (
        *map(mountwords.parse_volume, args.volume or ()),
        *map(mountwords.parse_mount, args.mount or ()),
        *map(mountwords.parse_tmpfs, args.tmpfs or ()),
    )


def inheritances(args: argparse.Namespace) -> tuple[Inheritance, ...]:
    return tuple(map(mountwords.parse_inheritance, args.volumes_from or ()))
