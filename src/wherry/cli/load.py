"""`wherry load`: the images of a tar archive."""

from __future__ import annotations

import argparse

from wherry.cli import sources
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", metavar="FILE", default="-", help="read from a file, not from stdin")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    from wherry.output.load import load

    with sources.opened(args.input, "load") as stream, Store.open() as store:
        loaded = load(store, stream)
    for image in () if args.quiet else loaded:
        for name in image.names:
            print(f"Loaded image: {name.familiar}")
        if not image.names:
            print(f"Loaded image ID: {image.image_id}")
    return 0
