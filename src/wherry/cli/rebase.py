"""`wherry rebase`: an image's own layers on another base."""

from __future__ import annotations

import argparse
import sys

from wherry.base.text import counted
from wherry.build.bases import Bases
from wherry.build.rebase import rebase
from wherry.cli.parser import add_tags
from wherry.cli.tag import name
from wherry.runtime import modes
from wherry.store.store import Store
from wherry.ui.progress import display


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--onto",
        required=True,
        metavar="BASE",
        help="the base to move to: an image, pulled if it is not here",
    )
    add_tags(parser)
    add("-q", "--quiet", action="store_true", help="print the image ID and nothing else")
    add("image", metavar="IMAGE")
    parser.usage = "wherry rebase [OPTIONS] IMAGE --onto BASE"


def run(args: argparse.Namespace) -> int:
    tags = [name(text) for text in args.tag]
    with Store.open() as store, store.lease():
        image = store.images.find(args.image)
        with display("quiet" if args.quiet else "auto", sys.stderr) as emit:
            onto = Bases(store, False, emit).find(args.onto, None, image.config.platform)
        modes.enter_as_user()
        moved = rebase(store, image, onto)
        for tag in tags:
            store.images.tag(tag, moved.image)
    if not args.quiet:
        print(f"{counted(moved.layers, 'layer')} moved from {moved.base} to {args.onto}", file=sys.stderr)
    print(moved.image)
    return 0
