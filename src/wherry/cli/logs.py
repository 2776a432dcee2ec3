"""`wherry logs`: what a container wrote."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from wherry.base.errors import Unsupported, UsageError
from wherry.cli.parser import Parser
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.containers import Container


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--details", action="store_true", help="show the labels and variables that --log-opt names")
    add("-f", "--follow", action="store_true", help="go on with what comes until the container ends")
    add(
        "--since", metavar="TIME", default="", help="only from this time on: 2026-01-31T12:00:00Z, or 10m ago"
    )
    add("-n", "--tail", metavar="N", default="all", help="only the last N lines (default all)")
    add("-t", "--timestamps", action="store_true", help="show the time of every line")
    add("--until", metavar="TIME", default="", help="only up to this time")
    add("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container import log
    from wherry.container.containers import Containers

    containers = Containers(default_root())
    container = containers.find(args.container)
    _check_readable(container)
    now = time.time()
    since, until = _moment(args.since, now), _moment(args.until, now)
    details = _details(container) if args.details else b""

    def over() -> bool:
        _flush()  # what is there has been read
        if not args.follow or (until and log.timestamp(time.time_ns()) > until):
            return True
        current = containers.get(container.id)
        return current is None or not current.is_running

    last = sys.stdout
    path = container.folder.file("log.jsonl")
    for record in log.follow(path, over=over, tail=_tail(args.tail), since=since, until=until):
        if record.stream == log.LOST:
            _warn(f"{record.data.decode()} bytes of output are missing here: there was no room for the log")
            continue
        stream = sys.stdout if record.stream == 1 else sys.stderr
        if stream is not last:
            _flush()
            last = stream
        head = f"{record.time} ".encode() if args.timestamps else b""
        stream.buffer.write(head + details + record.data)
    _flush()
    return 0


def _flush() -> None:
    sys.stdout.buffer.flush()
    sys.stderr.buffer.flush()


def _check_readable(container: Container) -> None:
    from wherry.container.options import loglimits

    if container.spec.log.driver == loglimits.NONE:
        raise Unsupported(
            f"container {container.spec.name} has no log", hint="it was made with --log-driver none"
        )


def _warn(text: str) -> None:
    _flush()
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _details(container: Container) -> bytes:
    """`KEY=VALUE,KEY=VALUE ` as docker writes it, in the order of the keys."""
    from urllib.parse import quote_plus

    spec = container.spec
    pairs = [pair for pair in spec.labels if pair[0] in spec.log.labels]
    variables = (item.partition("=") for item in spec.env)
    pairs += [(name, value) for name, _, value in variables if name in spec.log.env]
    words = (
        f"{quote_plus(key)}={quote_plus(value, errors='surrogateescape')}" for key, value in sorted(pairs)
    )
    return f"{','.join(words)} ".encode()


def _tail(text: str) -> int | None:
    """The number of lines; None for all of them. Docker takes a negative number for all too."""
    try:
        count = -1 if text == "all" else int(text)
    except ValueError:
        raise UsageError(
            f"invalid number of lines: {text!r}", hint="write --tail 100, or --tail all"
        ) from None
    return count if count >= 0 else None


def _moment(text: str, now: float) -> str:
    """The time in a log's own form; "" for none."""
    from wherry.container.log import timestamp
    from wherry.ui.units import nanoseconds

    return timestamp(nanoseconds(text, now)) if text else ""
