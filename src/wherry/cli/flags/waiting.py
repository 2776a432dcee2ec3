"""The flags of `run`, `start` and `restart` that wait for a container's health."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.monitor.connection import Started


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--wait", action="store_true", help="return when it is healthy, as its health check says")
    add("--wait-timeout", metavar="SECONDS", type=float, help="give up waiting after so many seconds")


def check(args: argparse.Namespace, detached: bool) -> None:
    if args.wait_timeout is not None and not args.wait:
        raise UsageError("--wait-timeout needs --wait")
    if args.wait_timeout is not None and args.wait_timeout < 0:
        raise UsageError("--wait-timeout cannot be negative")
    if args.wait and not detached:
        raise UsageError("--wait is for containers in the background", hint="run -d --wait")


def wait(args: argparse.Namespace, container_id: str, name: str, started: Started | None) -> None:
    """Wait, where it is asked for; WherryError where it does not get healthy. `started` is closed here."""
    if not args.wait:
        if started:
            started.connection.close()
        return
    from wherry.container.monitor.waiting import until_healthy

    if not until_healthy(default_root(), container_id, name, started, args.wait_timeout):
        print(f"warning: container {name} has no health check to wait for", file=sys.stderr)
