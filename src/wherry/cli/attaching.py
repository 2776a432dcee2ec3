"""The flags that say how a terminal is lent to a container: of `run`, `start` and `attach`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wherry.cli.parser import Parser

if TYPE_CHECKING:
    from wherry.container.attach import Manner


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--detach-keys", metavar="KEYS", help="the keys that leave it running (default ctrl-p,ctrl-q)")
    add(
        "--sig-proxy",
        metavar="true|false",
        nargs="?",
        const="true",
        default="true",
        choices=("true", "false"),
        help="pass signals on (default true)",
    )


def manner(args: argparse.Namespace, stdin: bool = True) -> Manner:
    from wherry.container.attach import Manner
    from wherry.container.detach import DEFAULT, parse

    keys = parse(DEFAULT if args.detach_keys is None else args.detach_keys)
    return Manner(stdin, args.sig_proxy == "true", keys)
