"""`wherry save`: images as one tar archive."""

from __future__ import annotations

import argparse

from wherry.oci import platform as platforms
from wherry.runtime import modes
from wherry.store import events
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="write to a file, not to stdout")
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="only the image for this platform (default: all)"
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.output.archive import choose, save
    from wherry.output.target import target

    with Store.open() as store:
        modes.enter_as_user()
        chosen = choose(store, args.images, platforms.parse(args.platform) if args.platform else None)
        with target(args.output) as sink:
            save(store, chosen, sink)
            sink.finish()
        for image in chosen:
            for name in image.names:
                events.record(store.root, "image", "save", image.image.id, {"name": name.familiar})
    return 0
