"""The flags of `run` and `create` about networks."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser
from wherry.container.options import networking
from wherry.container.options.networking import DEFAULT, Attachment, Networks


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--dns", metavar="ADDRESS", action="append", help="ask this name server; may be repeated")
    add(
        "--dns-option",
        "--dns-opt",
        metavar="OPTION",
        action="append",
        help="an option for the asking of names",
    )
    add("--dns-search", metavar="DOMAIN", action="append", help="look for names in this domain; . for none")
    add("--ip", metavar="ADDRESS", default="", help="the container's IPv4 address on its network")
    add("--ip6", metavar="ADDRESS", default="", help="the container's IPv6 address on its network")
    add("--mac-address", metavar="ADDRESS", default="", help="the container's MAC address on its network")
    add(
        "--network",
        "--net",
        metavar="NETWORK",
        action="append",
        help="the network: default, host, none, container:NAME, or one that was made; may be repeated",
    )
    add("--network-alias", "--net-alias", metavar="NAME", action="append", help="another name on its network")


def read(args: argparse.Namespace) -> tuple[str, Networks]:
    """The kind of network, and what the container has of it."""
    found = [networking.parse(word) for word in args.network or [DEFAULT]]
    kinds = {kind for kind, _ in found}
    if len(kinds) > 1 or (len(found) > 1 and any(place is None for _, place in found)):
        raise UsageError(f"--network {found[0][0]} cannot be had together with another network")
    places = _first_with(args, [place for _, place in found if place])
    return found[0][0], Networks(
        tuple(places), tuple(args.dns or ()), tuple(args.dns_search or ()), tuple(args.dns_option or ())
    )


def _first_with(args: argparse.Namespace, places: list[Attachment]) -> list[Attachment]:
    """Docker's flags that say something of the first network alone."""
    aliases = tuple(args.network_alias or ())
    addresses = tuple(filter(None, (args.ip, args.ip6)))
    given = {
        "--network-alias": aliases,
        "--ip": args.ip,
        "--ip6": args.ip6,
        "--mac-address": args.mac_address,
    }
    for option, value in given.items():
        if value and not places:
            raise UsageError(
                f"{option} needs a network that was made by `wherry network create`",
                hint="choose one with --network",
            )
    if not places:
        return []
    first = places[0]
    if (addresses and first.addresses) or (args.mac_address and first.mac):
        raise UsageError(f"the address on the network {first.network} is given twice")
    return [
        first._replace(
            aliases=(*first.aliases, *aliases),
            addresses=first.addresses or addresses,
            mac=first.mac or args.mac_address,
        ),
        *places[1:],
    ]
