"""`wherry parse`: a Dockerfile's syntax as JSON."""

from __future__ import annotations

import argparse
import json

from wherry.cli import plumbing
from wherry.dockerfile import parser as syntax
from wherry.dockerfile.errors import DockerfileError


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=["json"], default="json", help="json is the default, and all there is"
    )
    parser.add_argument("file", metavar="FILE|-")


def run(args: argparse.Namespace) -> int:
    # JSON has no way to write bytes that are not UTF-8; Go's encoder, too, puts U+FFFD in their place.
    text = plumbing.read(args.file).decode("utf-8", "replace")
    try:
        dockerfile = syntax.parse(text, args.file)
    except DockerfileError as error:
        return plumbing.complain(error)
    print(json.dumps(syntax.document(dockerfile), indent=2))
    return 0
