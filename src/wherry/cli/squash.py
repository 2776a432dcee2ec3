"""`wherry squash`: an image with its layers merged into one."""

from __future__ import annotations

import argparse

from wherry.cli.parser import add_tags
from wherry.cli.tag import name
from wherry.image.squash import layers_below, squash
from wherry.runtime import modes
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_tags(parser)
    add("--from", dest="base", default="", metavar="IMAGE|LAYER", help="merge only what lies above this")
    add("image", metavar="IMAGE")


def run(args: argparse.Namespace) -> int:
    tags = [name(text) for text in args.tag]
    with Store.open() as store, store.lease():
        image = store.images.find(args.image)
        kept = layers_below(store, image, args.base) if args.base else 0
        modes.enter_as_user()
        config = squash(store, image.config, kept)
        # As it is, whoever wrote it may have encoded it in other words.
        result = image.id if config == image.config else store.images.put(config.encode())
        for tag in tags:
            store.images.tag(tag, result)
    print(result)
    return 0
