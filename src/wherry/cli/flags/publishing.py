"""The flags of `run` and `create` about ports."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.options.publishing import parse_expose, parse_ports
from wherry.runtime.net.ports import Port


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-p", "--publish", metavar="[IP:][HOST:]PORT", action="append", help="publish a port on the host")
    add("-P", "--publish-all", action="store_true", help="publish all exposed ports, on any free ports")
    add("--expose", metavar="PORT[-PORT][/udp]", action="append", help="say that the container listens there")


def ports(args: argparse.Namespace) -> tuple[Port, ...]:
    return tuple(port for word in args.publish or () for port in parse_ports(word))


def exposed(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(port for word in args.expose or () for port in parse_expose(word))
