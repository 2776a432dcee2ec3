"""The flags of `run` and `create` about the health check; there are none yet."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.health import Health


def register(parser: Parser) -> None:
    """Nothing yet."""


def read(_args: argparse.Namespace) -> Health:
    return Health()
