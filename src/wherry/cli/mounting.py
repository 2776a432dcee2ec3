"""The flags of `run` and `create` about what is mounted."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.mounting import Volume, parse_volume


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-v", "--volume", metavar="SOURCE:TARGET[:ro]", action="append", help="mount a host path or a volume")


def read(args: argparse.Namespace) -> tuple[Volume, ...]:
    return tuple(parse_volume(word) for word in args.volume or ())
