"""The flags of `run` and `create` about networks."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.networking import Networks


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--network", "--net", metavar="NETWORK", default="default", help="the network: default, host or none")


def read(_args: argparse.Namespace) -> Networks:
    return Networks()
