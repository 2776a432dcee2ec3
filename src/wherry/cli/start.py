"""`wherry start`: containers that were created, or have ended, run (again)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.cli.flags import attaching, waiting
from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root

if TYPE_CHECKING:
    from wherry.container.monitor.connection import Started
    from wherry.container.monitor.standby import Standby

_CHECKPOINTS = "processes cannot be kept on disk; pause keeps them in memory"


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--attach", action="store_true", help="show its output, and pass signals on")
    add("-i", "--interactive", action="store_true", help="pass stdin on")
    attaching.register(parser)
    waiting.register(parser)
    parser.refused = dict.fromkeys(("--checkpoint", "--checkpoint-dir"), _CHECKPOINTS)
    add("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.monitor import failures
    from wherry.container.monitor.connection import join
    from wherry.container.state import PAUSED

    manner = attaching.manner(args, stdin=args.interactive)
    waiting.check(args, detached=not (args.attach or args.interactive))
    containers = Containers(default_root())
    if args.attach or args.interactive:
        from wherry.container.attach.attach import attach, check_terminal

        if len(args.containers) > 1:
            raise UsageError("only one container can be attached to at once")
        container = containers.find(args.containers[0])
        check_terminal(container.spec.terminal, container.spec.interactive and manner.stdin)
        started = join(container) if container.is_running else start(container.id, attached=True)
        return attach(started, container.folder.path, manner)

    def one(name: str) -> None:
        container = containers.find(name)
        if container.state.status == PAUSED:
            raise failures.paused(container.spec.name)
        started = None if container.is_running else start(container.id, attached=args.wait)
        waiting.wait(args, container.id, container.spec.name, started)
        print(name, flush=True)

    return each(args.containers, one)


def start(container_id: str, *, attached: bool = False, standby: Standby | None = None) -> Started:
    """Start a container; what it has to say to the user is told."""
    from wherry.container import run as containers

    started = containers.start(default_root(), container_id, attached=attached, standby=standby)
    if started.note:
        print(f"warning: {started.note}", file=sys.stderr)
    return started
