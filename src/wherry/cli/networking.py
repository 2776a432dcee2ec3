"""The flags of `run` and `create` about networks and published ports."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.networking import Networks
from wherry.container.publishing import parse_ports
from wherry.runtime.net.ports import Port


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--network", "--net", metavar="NETWORK", default="default", help="the network: default, host or none")
    add("-p", "--publish", metavar="[IP:][HOST:]PORT", action="append", help="publish a port on the host")


def ports(args: argparse.Namespace) -> tuple[Port, ...]:
    return tuple(port for word in args.publish or () for port in parse_ports(word))


def read(_args: argparse.Namespace) -> Networks:
    return Networks()
