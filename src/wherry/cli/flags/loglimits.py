"""The flags of `run` and `create` about the log."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.options import loglimits
from wherry.container.options.loglimits import LogLimits


def register(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--log-driver",
        metavar="DRIVER",
        default="",
        help="what keeps the log: json-file, or none (default json-file)",
    )
    add(
        "--log-opt",
        metavar="KEY=VALUE",
        action="append",
        help="how it is kept: max-size=10m, max-file=3, labels=, env=",
    )


def read(args: argparse.Namespace) -> LogLimits:
    return loglimits.parse(args.log_driver, args.log_opt or ())
