"""`wherry load`: the images of a tar archive."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", metavar="FILE", default="-", help="read from a file, not from stdin")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    from wherry.output.load import load

    with _source(args.input) as stream, Store.open() as store:
        loaded = load(store, stream)
    for image in () if args.quiet else loaded:
        for name in image.names:
            print(f"Loaded image: {name.familiar}")
        if not image.names:
            print(f"Loaded image ID: {image.image_id}")
    return 0


@contextmanager
def _source(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        if sys.stdin.isatty():
            raise WherryError(
                "nothing to load: standard input is a terminal", hint="name a file with -i, or redirect one"
            )
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise WherryError(f"cannot read {path}: {error.strerror}") from None
    with file:
        yield file
