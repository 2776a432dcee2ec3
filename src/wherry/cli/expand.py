"""`wherry expand`: one word of a Dockerfile with its variables, quotes and escapes resolved."""

from __future__ import annotations

import argparse

from wherry.cli import plumbing
from wherry.dockerfile.words import expand, expand_words


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], type=_variable, help="set a variable"
    )
    parser.add_argument(
        "--words",
        dest="split",  # args.words is how the command was called
        action="store_true",
        help="split the result into words, one a line",
    )
    parser.add_argument("word", metavar="WORD")


def run(args: argparse.Namespace) -> int:
    lookup = dict(args.env).get
    plumbing.write_lines(expand_words(args.word, lookup) if args.split else [expand(args.word, lookup)])
    return 0


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
