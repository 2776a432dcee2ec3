"""`wherry attach`: this terminal, or its stdin, stdout and stderr, at a running container's."""

from __future__ import annotations

import argparse

from wherry.base.errors import WherryError
from wherry.cli import attaching
from wherry.cli.parser import Parser
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("--no-stdin", action="store_true", help="do not pass stdin on")
    attaching.register(parser)
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container.attach import attach, check_terminal, join
    from wherry.container.containers import Containers

    manner = attaching.manner(args, stdin=not args.no_stdin)
    container = Containers(default_root()).find(args.container)
    if not container.is_running:
        raise WherryError(
            f"container {container.spec.name} is not running",
            hint=f"`wherry start -a {container.spec.name}` starts it",
        )
    check_terminal(container.spec.terminal, container.spec.interactive and manner.stdin)
    return attach(join(container), container.folder.path, manner)
