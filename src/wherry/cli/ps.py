"""`wherry ps`: the containers."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from wherry.cli.parser import Parser
from wherry.container.options import networking
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.containers import Container

_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="show those that have ended too")
    add("-f", "--filter", metavar="KEY=VALUE", action="append", help="only those: name=, status=, label= ...")
    add("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add("-n", "--last", metavar="N", type=int, default=-1, help="the last N that were created, ended or not")
    add("-l", "--latest", action="store_true", help="the last one that was created")
    add("--no-trunc", action="store_true", help="cut nothing off")
    add("-q", "--quiet", action="store_true", help="show IDs only")
    add("-s", "--size", action="store_true", help="show what each has written, and with its image")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.filtering import matching, shows_all

    words = args.filter or ()
    containers = matching(Containers(default_root()).all(), words)
    last = 1 if args.latest else args.last
    asked_for_all = args.all or shows_all(words)
    if last >= 0:
        containers = containers[:last]
    elif not asked_for_all:
        containers = [container for container in containers if container.is_running]
    if args.quiet:
        for container in containers:
            print(container.id if args.no_trunc else container.id[:12])
        return 0
    from wherry.ui.format import listing

    sizes = _sizes(containers) if args.size or ".Size" in args.format else {}
    rows = [
        {**_row(container, args.no_trunc), "Size": sizes.get(container.id, "")} for container in containers
    ]
    columns = (*_COLUMNS, "Size") if args.size else _COLUMNS
    sys.stdout.write(listing(args.format, _HEADERS, columns, rows))
    return 0


def _sizes(containers: list[Container]) -> dict[str, str]:
    """`2B (virtual 4.1MB)`: what each has written, and that with its image."""
    from wherry.cli.containersizes import sizes
    from wherry.store.store import Store
    from wherry.ui.units import size

    with Store.open() as store:
        found = sizes(store, containers)
    return {name: f"{size(own)} (virtual {size(whole)})" for name, (own, whole) in found.items()}


def _row(container: Container, whole: bool) -> dict[str, str]:
    from wherry.container import listing as words
    from wherry.ui.units import age, ago

    spec = container.spec
    since_start, since_end = words.ages(container)
    mounts = [volume.source if whole else _cut(volume.source) for volume in spec.volumes if volume.source]
    return {
        "ID": spec.id if whole else spec.id[:12],
        "Image": spec.image_name,
        "Command": words.command(container, whole),
        "RunningFor": ago(spec.created),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(spec.created)),
        "Status": words.status(container, (age(since_start), age(since_end))),
        "State": container.state.status,
        "Ports": words.ports(container),
        "Names": spec.name,
        "Labels": ",".join(f"{key}={value}" for key, value in spec.labels),
        "Mounts": ",".join(mounts),
        "Networks": ",".join(networking.names(spec.network, spec.networks)),
        "LocalVolumes": str(sum(volume.kind == "volume" for volume in spec.volumes)),
    }


def _cut(text: str) -> str:
    return text if len(text) <= 15 else f"{text[:14]}…"
