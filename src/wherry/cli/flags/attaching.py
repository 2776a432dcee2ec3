"""The flags that say how a terminal is lent to a container: of `run`, `start` and `attach`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser

if TYPE_CHECKING:
    from wherry.container.attach.attach import Manner

STREAMS = ("stdin", "stdout", "stderr")


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


def register_streams(parser: Parser) -> None:
    parser.add_argument(
        "-a",
        "--attach",
        metavar="STREAM",
        action="append",
        help="only stdin, stdout or stderr, not all of them; may be repeated",
    )


def of_streams(args: argparse.Namespace) -> Manner:
    """As `manner`, with what `-a` says. Raises UsageError."""
    words = [word.lower() for word in args.attach or STREAMS]
    for word in words:
        if word not in STREAMS:
            raise UsageError(
                f"--attach {word}: there is no such stream", hint=f"it is one of {', '.join(STREAMS)}"
            )
    if args.attach and args.detach:
        raise UsageError("--attach and --detach exclude each other")
    return manner(args, "stdin" in words)._replace(stdout="stdout" in words, stderr="stderr" in words)


def manner(args: argparse.Namespace, stdin: bool = True) -> Manner:
    from wherry.container.attach.attach import Manner
    from wherry.container.attach.detach import DEFAULT, parse

    keys = parse(DEFAULT if args.detach_keys is None else args.detach_keys)
    return Manner(stdin, args.sig_proxy == "true", keys)
