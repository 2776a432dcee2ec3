"""`wherry attach`: this terminal, or its stdin, stdout and stderr, at a running container's."""

from __future__ import annotations

import argparse

from wherry.cli.flags import attaching
from wherry.cli.parser import Parser
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("--no-stdin", action="store_true", help="do not pass stdin on")
    attaching.register(parser)
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container.attach.attach import attach, check_terminal
    from wherry.container.containers import Containers
    from wherry.container.monitor.connection import join

    manner = attaching.manner(args, stdin=not args.no_stdin)
    container = Containers(default_root()).find(args.container)
    started = join(container)
    check_terminal(started.terminal, started.interactive and manner.stdin)
    return attach(started, container.folder.path, manner)
