"""`wherry run`: a command in a new container."""

from __future__ import annotations

import argparse

from wherry.cli import attaching, creating
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart
from wherry.cli.start import start
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run in the background and print the container's ID"
    )
    attaching.register(parser)
    creating.register(parser)


def run(args: argparse.Namespace) -> int:
    """The process's exit code; docker's 125, 126 or 127 where there was no process."""
    with told_apart():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from wherry.container.attach import attach, check_terminal
    from wherry.container.containers import Containers
    from wherry.container.stop import remove

    wanted, manner = creating.read(args), attaching.manner(args)
    if not args.detach:
        check_terminal(wanted.terminal, wanted.interactive)
    container_id, root = creating.create(args, wanted), default_root()
    try:
        started = start(container_id, attached=not args.detach)
    except BaseException:
        remove(root, container_id, force=True, with_volumes=True)
        raise
    if not args.detach:
        return attach(started, Containers(root).folder(container_id).path, manner)
    started.connection.close()
    print(container_id)
    return 0
