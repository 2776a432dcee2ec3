"""`wherry network create`: a network for containers that are to find each other."""

from __future__ import annotations

import argparse
import os
import time

from wherry.base.errors import Unsupported, UsageError
from wherry.cli.parser import Parser
from wherry.store.store import default_root

_MTU = ("mtu", "com.docker.network.driver.mtu")
_REFUSED = {
    "attachable": "there is no swarm to attach from",
    "aux_address": "choose an --ip-range that leaves those addresses out",
    "config_from": "there is one machine",
    "config_only": "there is one machine",
    "ingress": "there is no swarm",
    "ipam_opt": "addresses are wherry's own to give",
    "ipv4": "every network has IPv4 addresses; --ipv6 gives it others too",
    "scope": "there is one machine",
}


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-d", "--driver", metavar="NAME", default="bridge", help="the driver: bridge, the only one")
    add("--gateway", metavar="ADDRESS", action="append", default=[], help="the network's own address")
    add("--internal", action="store_true", help="a network from which nothing outside is reached")
    add("--ip-range", metavar="CIDR", action="append", default=[], help="give containers these addresses")
    add("--ipam-driver", metavar="NAME", default="default", help=argparse.SUPPRESS)
    add("--ipv6", action="store_true", help="give containers IPv6 addresses too")
    add("--label", metavar="KEY[=VALUE]", action="append", default=[], help="set a label")
    add(
        "-o",
        "--opt",
        metavar="OPTION",
        action="append",
        default=[],
        help="an option: mtu=BYTES, the only one",
    )
    add("--subnet", metavar="CIDR", action="append", default=[], help="its addresses, such as 10.5.0.0/24")
    for name in _REFUSED:
        add(f"--{name.replace('_', '-')}", nargs="?", const=True, help=argparse.SUPPRESS)
    add("network", metavar="NETWORK")


def run(args: argparse.Namespace) -> int:
    from wherry.container.options.options import parse_pair
    from wherry.networks import subnets
    from wherry.networks.definition import Network, Networks, check_name

    _refuse(args)
    check_name(args.network)
    networks = Networks(default_root())
    with networks.locked():
        network = Network(
            id=os.urandom(32).hex(),
            name=args.network,
            created=time.time(),
            subnets=subnets.chosen(args.subnet, args.gateway, args.ip_range, networks.all(), ipv6=args.ipv6),
            internal=args.internal,
            labels=tuple(dict(parse_pair(word, "--label") for word in args.label).items()),
            mtu=_mtu(args.opt),
        )
        networks.create(network)
    print(network.id)
    return 0


def _refuse(args: argparse.Namespace) -> None:
    for name, why in _REFUSED.items():
        if getattr(args, name):
            raise Unsupported(f"--{name.replace('_', '-')} is not supported: {why}")
    for option, value, known in (
        ("driver", args.driver, "bridge"),
        ("ipam-driver", args.ipam_driver, "default"),
    ):
        if value != known:
            raise Unsupported(f"--{option} {value} is not supported", hint=f"{known} is")


def _mtu(words: list[str]) -> int:
    mtu = 0
    for word in words:
        key, _, value = word.partition("=")
        if key not in _MTU:
            raise Unsupported(f"--opt {word} is not supported", hint="mtu=BYTES is")
        if not value.isascii() or not value.isdigit() or not 576 <= int(value) <= 65535:
            raise UsageError(f"invalid --opt {word}", hint="an MTU has from 576 to 65535 bytes")
        mtu = int(value)
    return mtu
