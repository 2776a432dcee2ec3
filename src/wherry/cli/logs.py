"""`wherry logs`: what a container wrote."""

from __future__ import annotations

import argparse
import sys
import time

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="go on with what comes until the container ends")
    add(
        "--since", metavar="TIME", default="", help="only from this time on: 2026-01-31T12:00:00Z, or 10m ago"
    )
    add("-n", "--tail", metavar="N", default="all", help="only the last N lines (default all)")
    add("-t", "--timestamps", action="store_true", help="show the time of every line")
    add("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container import log
    from wherry.container.containers import Containers

    containers = Containers(default_root())
    container = containers.find(args.container)

    def over() -> bool:
        if not args.follow:
            return True
        now = containers.get(container.id)
        return now is None or not now.is_running

    for record in log.follow(
        container.folder.file("log.jsonl"), over=over, tail=_tail(args.tail), since=_since(args.since)
    ):
        stream = sys.stdout if record.stream == 1 else sys.stderr
        head = f"{record.time} ".encode() if args.timestamps else b""
        stream.buffer.write(head + record.data)
        stream.buffer.flush()
    return 0


def _tail(text: str) -> int | None:
    """The number of lines; None for all of them. Docker takes a negative number for all too."""
    try:
        count = -1 if text == "all" else int(text)
    except ValueError:
        raise UsageError(
            f"invalid number of lines: {text!r}", hint="write --tail 100, or --tail all"
        ) from None
    return count if count >= 0 else None


def _since(text: str) -> str:
    """The time in a log's own form; "" for the beginning."""
    from wherry.container.log import timestamp
    from wherry.ui.units import moment

    return timestamp(int(moment(text, time.time()) * 10**9)) if text else ""
