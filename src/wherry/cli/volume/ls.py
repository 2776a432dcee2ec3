"""`wherry volume ls`: the volumes."""

from __future__ import annotations

import argparse
import sys

from wherry.cli import filters
from wherry.cli.parser import Parser
from wherry.container.volumes import Kept
from wherry.store.store import default_root

_HEADERS = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
_UNKNOWN = dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A")
"""What docker knows of volumes of clusters alone, or shows elsewhere (`system df -v`)."""


def register(parser: Parser) -> None:
    add = parser.add_argument
    known = "dangling=true|false, driver=local, label=KEY[=VALUE], name=PART"
    add("-f", "--filter", metavar="FILTER", action="append", default=[], help=f"only those: {known}")
    add("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add("-q", "--quiet", action="store_true", help="show names only")
    parser.refused = {"--cluster": "there are no clusters of machines here"}


def run(args: argparse.Namespace) -> int:
    found = _chosen(default_root(), filters.parse(args.filter, ("dangling", "driver", "label", "name")))
    if args.quiet:
        for volume in found:
            print(volume.name)
        return 0
    from wherry.ui.format import listing

    sys.stdout.write(listing(args.format, _HEADERS, ("Driver", "Name"), map(_row, found)))
    return 0


def _chosen(root: str, wanted: dict[str, list[str]]) -> list[Kept]:
    from wherry.container import volumes, volumesearch

    found = volumesearch.matching(volumes.all_of(root), names=wanted["name"], labels=wanted["label"])
    dangling = filters.truth(wanted["dangling"], "dangling")
    if dangling is not None:
        users = volumes.users(root)
        found = [volume for volume in found if (volume.name not in users) == dangling]
    return found if not wanted["driver"] or "local" in wanted["driver"] else []


def _row(volume: Kept) -> dict[str, object]:
    return {
        **_UNKNOWN,
        "Driver": "local",
        "Labels": ",".join(f"{key}={value}" for key, value in volume.labels),
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Scope": "local",
    }
