"""`wherry create`: a new container, for `start` to run."""

from __future__ import annotations

import argparse

from wherry.cli import creating
from wherry.cli.parser import Parser
from wherry.cli.refusals import told_apart


def register(parser: Parser) -> None:
    creating.register(parser)


def run(args: argparse.Namespace) -> int:
    """Words that cannot be are refused with 125, as docker does; what fails then has the exit code 1."""
    with told_apart():
        wanted = creating.read(args)
    print(creating.create(args, wanted))
    return 0
