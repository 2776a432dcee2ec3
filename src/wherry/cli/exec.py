"""`wherry exec`: another command in a running container."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.cli.flags import attaching
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.monitor.execution import Order


def register(parser: Parser) -> None:
    parser.interspersed = False
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="run it in the background")
    add("-e", "--env", metavar="NAME[=VALUE]", action="append", help="set an environment variable")
    add("--env-file", metavar="FILE", action="append", help="read environment variables from a file")
    add("-i", "--interactive", action="store_true", help="keep stdin open")
    add(
        "--privileged",
        action="store_true",
        help="give it all capabilities that the container's user may have",
    )
    add("-t", "--tty", action="store_true", help="give the process a terminal")
    add("-u", "--user", metavar="NAME|UID[:GROUP]", default="", help="the user to run as")
    add("-w", "--workdir", metavar="DIR", default="", help="the working directory")
    attaching.register(parser)
    add("container", metavar="CONTAINER")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """The process's exit code; docker's 125, 126 or 127 where there was no process."""
    with told_apart():
        return _run(args, _order(args))


def _run(args: argparse.Namespace, order: Order) -> int:
    from wherry.container.attach.attach import attach, check_terminal
    from wherry.container.containers import Containers
    from wherry.container.monitor.connection import execute

    manner = attaching.manner(args)
    if not args.detach:
        check_terminal(order.terminal, order.interactive)
    container = Containers(default_root()).find(args.container)
    started = execute(container, order)
    if not args.detach:
        return attach(started, container.folder.path, manner)
    started.connection.close()
    return 0


def _order(args: argparse.Namespace) -> Order:
    from wherry.container.monitor.execution import Order
    from wherry.container.options import environment

    if not args.command:
        raise UsageError("exec needs a command", hint="wherry exec CONTAINER COMMAND [ARG...]")
    return Order(
        args=tuple(args.command),
        env=environment.from_options(args.env or (), args.env_file or (), os.environ),
        user=args.user,
        working_dir=args.workdir,
        terminal=args.tty,
        interactive=args.interactive,
        privileged=args.privileged,
    )
