"""`wherry ignore-check`: which paths an ignore file keeps in the build context."""

from __future__ import annotations

import argparse
import posixpath

from wherry.cli import plumbing
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns


def register(parser: argparse.ArgumentParser) -> None:
    parser.usage = "wherry ignore-check --ignore-file FILE|- [--] [PATH...]"
    parser.add_argument(
        "--ignore-file",
        metavar="FILE",
        required=True,
        help="read the patterns from FILE, or from - for stdin",
    )
    parser.add_argument("paths", metavar="PATH", nargs="*")
    parser.epilog = "Prints the paths that are kept. They are relative to the context and need not exist."


def run(args: argparse.Namespace) -> int:
    try:
        patterns = Patterns.parse(plumbing.read(args.ignore_file), args.ignore_file)
    except DockerfileError as error:
        return plumbing.complain(error)
    plumbing.write_lines(path for path in args.paths if not patterns.excludes(_clean(path)))
    return 0


def _clean(path: str) -> str:
    """`./a/`, `a//b` and `/a` name what is called `a`, `a/b` and `a` in a context."""
    return posixpath.normpath(path.lstrip("/"))
