"""`wherry network ls`: the networks, those that are always there among them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.cli import filters
from wherry.cli.parser import Parser
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.cli.network.facts import Facts

_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "CreatedAt": "CREATED AT",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
}
_COLUMNS = ("ID", "Name", "Driver", "Scope")
_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-f", "--filter", metavar="FILTER", action="append", default=[], help=f"by {', '.join(_FILTERS)}")
    add("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add("--no-trunc", action="store_true", help="cut nothing off")
    add("-q", "--quiet", action="store_true", help="show IDs only")


def run(args: argparse.Namespace) -> int:
    from wherry.cli.network import facts as networkfacts

    wanted = filters.parse(args.filter, _FILTERS)
    dangling = filters.truth(wanted["dangling"], "dangling")
    for kind in wanted["type"]:
        if kind not in ("custom", "builtin"):
            raise WherryError(f"invalid filter 'type={kind}'", hint="write type=custom or type=builtin")

    def takes(one: Facts) -> bool:
        return (
            _any(wanted["name"], lambda text: text in one.name)
            and _any(wanted["id"], one.id.startswith)
            and _any(wanted["driver"], lambda text: text == one.driver)
            and _any(wanted["scope"], lambda text: text == "local")
            and _any(wanted["type"], lambda text: (text == "custom") == one.is_made)
            and all(one.has_label(word) for word in wanted["label"])
            and dangling in (None, one.is_made and not one.members)
        )

    found = [one for one in networkfacts.all_networks(default_root()) if takes(one)]
    if args.quiet:
        for one in found:
            print(one.id if args.no_trunc else one.id[:12])
        return 0
    from wherry.ui.format import listing

    sys.stdout.write(listing(args.format, _HEADERS, _COLUMNS, [_row(one, args.no_trunc) for one in found]))
    return 0


def _any(words: Sequence[str], takes: Callable[[str], bool]) -> bool:
    return not words or any(map(takes, words))


def _row(one: Facts, whole: bool) -> dict[str, str]:
    return {
        "ID": one.id if whole else one.id[:12],
        "Name": one.name,
        "Driver": one.driver,
        "Scope": "local",
        "CreatedAt": one.created,
        "IPv4": str(one.name not in ("host", "none")).lower(),
        "IPv6": str(one.has_ipv6).lower(),
        "Internal": str(one.network is not None and one.network.internal).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in (one.network.labels if one.network else ())),
    }
