"""`wherry stats`: what containers use."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from wherry.cli.parser import Parser
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.containers import Container, Containers
    from wherry.container.processes.usage import Sample

_INTERVAL = 1.0
_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_CLEAR = "\x1b[H\x1b[2J"


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="show those that have ended too")
    add("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add("--no-stream", action="store_true", help="show what there is once, and end")
    add("--no-trunc", action="store_true", help="cut nothing off")
    add("containers", metavar="CONTAINER", nargs="*")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.processes.usage import sample
    from wherry.ui.format import listing

    containers = Containers(default_root())
    chosen = [containers.find(name).id for name in args.containers]
    before: dict[str, Sample] = {}
    while True:
        found = _shown(containers, chosen, args.all)
        now = {container.id: sample(container) for container in found}
        if before or not found:
            rows = [_row(one, now[one.id], before.get(one.id, now[one.id]), args.no_trunc) for one in found]
            _print(listing(args.format, _HEADERS, _COLUMNS, rows), args.no_stream)
            if args.no_stream:
                return 0
        before = now
        time.sleep(_INTERVAL)


def _shown(containers: Containers, chosen: list[str], everything: bool) -> list[Container]:
    """Those that are named, else all that run. Who is gone meanwhile is not shown any more."""
    if chosen:
        return [container for name in chosen if (container := containers.get(name))]
    return [container for container in containers.all() if everything or container.is_running]


def _print(text: str, once: bool) -> None:
    sys.stdout.write(text if once or not sys.stdout.isatty() else f"{_CLEAR}{text}")
    sys.stdout.flush()


def _row(container: Container, now: Sample, before: Sample, whole: bool) -> dict[str, str]:
    from wherry.ui.units import memory, size

    passed = now.moment - before.moment
    cpu = max(0.0, now.cpu - before.cpu) / passed if passed > 0 else 0.0
    short = container.id if whole else container.id[:12]
    return {
        "Container": short,
        "ID": short,
        "Name": container.spec.name,
        "CPUPerc": f"{100 * cpu:.2f}%",
        "MemUsage": f"{memory(now.memory)} / {memory(now.limit)}",
        "MemPerc": f"{100 * now.memory / now.limit if now.limit else 0:.2f}%",
        "NetIO": f"{size(now.received)} / {size(now.sent)}",
        "BlockIO": f"{size(now.read)} / {size(now.written)}",
        "PIDs": str(now.threads),
    }
