"""`wherry load`: the images of a tar archive, or of a layout in a folder."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from wherry.cli import sources
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.output.load import Loaded


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-i",
        "--input",
        metavar="FILE|FOLDER",
        default="-",
        help="read from a file or a folder, not from standard input",
    )
    add("--platform", metavar="OS/ARCH", help="only the images for this platform (default: all)")
    add("-q", "--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    platform = platforms.parse(args.platform) if args.platform else None
    for image in _loaded(args.input, platform):
        if args.quiet:
            continue
        for name in image.names:
            print(f"Loaded image: {name.familiar}")
        if not image.names:
            print(f"Loaded image ID: {image.image_id}")
    return 0


def _loaded(source: str, platform: Platform | None) -> list[Loaded]:
    from wherry.output.load import load, load_folder

    if os.path.isdir(source):
        with Store.open() as store:
            return load_folder(store, source, platform)
    with sources.opened(source, "load") as stream, Store.open() as store:
        return load(store, stream, platform)
