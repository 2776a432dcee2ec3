"""`wherry run`: a command in a new container."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING

from wherry.cli.flags import attaching, creating, waiting
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart
from wherry.cli.start import start
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.monitor.connection import Started


def register(parser: Parser) -> None:
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run in the background and print the container's ID"
    )
    attaching.register(parser)
    attaching.register_streams(parser)
    creating.register(parser)
    waiting.register(parser)


def run(args: argparse.Namespace) -> int:
    """The process's exit code; docker's 125, 126 or 127 where there was no process."""
    with told_apart():
        waiting.check(args, args.detach)
        code, container_id, started = _run(args)
    if started:
        print(container_id, flush=True)
        waiting.wait(args, container_id, started.name, started)
    return code


def _run(args: argparse.Namespace) -> tuple[int, str, Started | None]:
    """The exit code, the ID, and what runs in the background."""
    from wherry.container.attach.attach import attach, check_terminal
    from wherry.container.containers import Containers
    from wherry.container.monitor.standby import stand_by

    wanted, manner = creating.read(args), attaching.of_streams(args)
    if not args.detach:
        check_terminal(wanted.terminal, wanted.interactive and manner.stdin)
    root, attached = default_root(), args.wait or (not args.detach and manner.shows_output)
    with stand_by(wanted) or nullcontext() as standby:
        container_id = creating.create(args, wanted)
        try:
            started = start(container_id, attached=attached, standby=standby)
        except BaseException:
            from wherry.container.stop import remove

            remove(root, container_id, force=True, with_volumes=True)
            raise
    if args.detach:
        return 0, container_id, started
    code = attach(started, Containers(root).folder(container_id).path, manner)
    if not manner.shows_output:
        print(container_id)
    return code, container_id, None
