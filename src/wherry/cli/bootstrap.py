"""`wherry bootstrap`: make a base image from the distribution's packages."""

from __future__ import annotations

import argparse
import sys


def register(parser: argparse.ArgumentParser) -> None:
    from wherry.bootstrap.recipes import known_names

    parser.description = (
        "Make a base image from this machine's own package archive, where no registry can be reached. "
        f"Known: {known_names()}."
    )
    parser.add_argument("name", metavar="NAME", help="what to make, such as debian:bookworm-slim")
    parser.add_argument(
        "--include", metavar="PACKAGE,...", action="append", default=[], help="install these packages too"
    )
    parser.add_argument(
        "-t", "--tag", metavar="NAME", action="append", default=[], help="name of the image, instead of NAME"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image ID only")
    parser.add_argument(
        "--progress",
        choices=("auto", "tty", "plain", "rawjson", "quiet"),
        default="auto",
        help="how progress is shown",
    )


def run(args: argparse.Namespace) -> int:
    from wherry.bootstrap.make import bootstrap
    from wherry.store.store import Store
    from wherry.ui.progress import display

    packages = [package for text in args.include for package in text.replace(",", " ").split()]
    mode = "quiet" if args.quiet else args.progress
    with Store.open() as store, display(mode, sys.stderr) as emit:
        image = bootstrap(store, args.name, include=packages, tags=args.tag, emit=emit)
    print(image.id)
    return 0
