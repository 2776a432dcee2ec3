"""The flags of `run` and `create` about what follows the end of the process."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser
from wherry.container.options import restart
from wherry.container.options.restart import Restart


def register(parser: Parser) -> None:
    parser.add_argument(
        "--restart",
        metavar="POLICY",
        default="",
        help="start it again: no, on-failure[:N], always, unless-stopped (default no)",
    )


def read(args: argparse.Namespace) -> Restart:
    policy = restart.parse(args.restart)
    if policy and args.rm:
        raise UsageError(
            "--restart and --rm cannot go together", hint="with --rm the container is gone when it ends"
        )
    return policy
