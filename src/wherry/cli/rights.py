"""The flags of `run` and `create` about what the container's processes may do."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.rights import Rights, parse


def register(parser: Parser) -> None:
    parser.add_argument(
        "--security-opt",
        metavar="OPTION",
        action="append",
        help="one of no-new-privileges, seccomp=unconfined",
    )


def read(args: argparse.Namespace) -> Rights:
    return parse(args.security_opt or ())
