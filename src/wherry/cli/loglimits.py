"""The flags of `run` and `create` about the log; there are none yet."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.loglimits import LogLimits


def register(parser: Parser) -> None:
    """Nothing yet."""


def read(_args: argparse.Namespace) -> LogLimits:
    return LogLimits()
