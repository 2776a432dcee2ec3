"""The flags of `run` and `create` about what follows the end of the process; there are none yet."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.restart import Restart


def register(parser: Parser) -> None:
    """Nothing yet."""


def read(_args: argparse.Namespace) -> Restart:
    return Restart()
