"""`wherry network connect`: a container comes to a network, while it runs or before it does."""

from __future__ import annotations

import argparse

from wherry.base.errors import Unsupported
from wherry.cli.flags.refused import REFUSED
from wherry.store.store import default_root


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--alias", metavar="NAME", action="append", default=[], help="another name on the network")
    add("--driver-opt", metavar="OPTION", action="append", help=argparse.SUPPRESS)
    add("--gw-priority", metavar="N", help=argparse.SUPPRESS)
    add("--ip", metavar="ADDRESS", default="", help="the container's IPv4 address there")
    add("--ip6", metavar="ADDRESS", default="", help="the container's IPv6 address there")
    add("--link", metavar="CONTAINER", action="append", help=argparse.SUPPRESS)
    add("--link-local-ip", metavar="ADDRESS", action="append", help=argparse.SUPPRESS)
    add("network", metavar="NETWORK")
    add("container", metavar="CONTAINER")


_REASONS = {
    "--driver-opt": "a bridge has none",
    "--gw-priority": "the way out leads through none of the networks",
    "--link": REFUSED["--link"],
    "--link-local-ip": REFUSED["--link-local-ip"],
}


def run(args: argparse.Namespace) -> int:
    from wherry.container.connecting import connect
    from wherry.container.options.networking import Attachment

    for option, why in _REASONS.items():
        if getattr(args, option[2:].replace("-", "_")):
            raise Unsupported(f"{option} is not supported: {why}")
    addresses = tuple(filter(None, (args.ip, args.ip6)))
    connect(default_root(), args.container, Attachment(args.network, tuple(args.alias), addresses))
    return 0
