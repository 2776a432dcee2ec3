"""`wherry import`: an image of the files in a tar archive."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

from wherry.cli import sources
from wherry.cli.flags import changing
from wherry.cli.tag import name
from wherry.oci import platform as platforms
from wherry.store import events
from wherry.store.store import Store

_URLS = ("http://", "https://")


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    changing.register(parser)
    add("--platform", metavar="OS/ARCH", help="the platform of the image (default: this machine's)")
    add("source", metavar="FILE|URL|-")
    add("name", metavar="NAME[:TAG]", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    from wherry.build.imported import import_tar
    from wherry.build.legible import redacted

    tag = name(args.name) if args.name else None
    platform = platforms.parse(args.platform) if args.platform else None
    with Store.open() as store, store.lease(), _stream(store, args.source) as stream:
        image_id = import_tar(
            store,
            stream,
            "standard input" if args.source == "-" else redacted(args.source),
            changes=args.change,
            message=args.message,
            platform=platform,
        )
        if tag:
            store.images.tag(tag, image_id)
            events.record(store.root, "image", "import", image_id, {"name": tag.familiar})
    print(image_id)
    return 0


@contextmanager
def _stream(store: Store, source: str) -> Iterator[BinaryIO]:
    if not source.startswith(_URLS):
        with sources.opened(source, "import") as stream:
            yield stream
        return
    from wherry.build.remote.web import Web
    from wherry.cli.transfers import Transfers, Words

    # What came in one piece has not been seen under way, and is downloaded all the same.
    words = Words("Downloading", "Download complete", present="Download complete")
    with (
        Transfers(words, sys.stderr) as transfers,
        closing(Web(store, transfers)) as web,
        open(web.fetch(source, "", 0).path, "rb") as file,
    ):
        yield file
