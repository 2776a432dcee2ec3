"""`wherry top`: the processes of a container."""

from __future__ import annotations

import argparse
import sys
import time

from wherry.base.errors import WherryError
from wherry.cli.parser import Parser
from wherry.store.store import default_root

_WIDTH = 20  # docker's columns


def register(parser: Parser) -> None:
    parser.interspersed = False
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("options", metavar="PS_OPTION", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    from wherry.base.text import one_line
    from wherry.container.containers import Containers
    from wherry.container.processes import columns, processes
    from wherry.container.processes.members import members_of
    from wherry.container.processes.usage import machine_memory
    from wherry.ui import table

    container = Containers(default_root()).find(args.container)
    chosen = columns.parse(args.options)
    pids = members_of(container)
    if not pids:
        raise WherryError(f"container {container.spec.name} is not running")
    found = [process for pid in pids if (process := processes.read(pid))]
    shown = columns.rows(found, chosen, columns.Now(time.time(), machine_memory()))
    cells = [[one_line(cell) for cell in row] for row in shown]
    sys.stdout.write(table.align([[column.header for column in chosen], *cells], minimum=_WIDTH))
    return 0
