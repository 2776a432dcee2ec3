"""`wherry port`: where a container's ports are published."""

from __future__ import annotations

import argparse
import re

from wherry.base.errors import UsageError, WherryError
from wherry.cli.parser import Parser
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("port", metavar="PORT[/PROTOCOL]", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.listing import addresses

    container = Containers(default_root()).find(args.container)
    wanted = _wanted(args.port)
    published = container.state.ports if container.is_running else ()
    shown = [port for port in published if wanted in ("", f"{port.container}/{port.protocol}")]
    if wanted and not shown:
        raise WherryError(f"no public port {wanted!r} published for {args.container}")
    for port in shown:
        head = "" if wanted else f"{port.container}/{port.protocol} -> "
        for address in addresses(port):
            print(f"{head}{address}")
    return 0


def _wanted(text: str) -> str:
    """`80/tcp` for `80`; nothing for nothing."""
    if text and not re.fullmatch(r"[0-9]{1,5}(/(tcp|udp))?", text):
        raise UsageError(f"not a port: {text}", hint="write a number, with /udp behind it or not")
    return text if "/" in text or not text else f"{text}/tcp"
