"""`wherry commit`: an image of what a container has become."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.cli.flags import changing
from wherry.cli.parser import Parser, boolean
from wherry.cli.tag import name
from wherry.runtime import modes
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.container.containers import Container


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--author", default="", metavar="NAME", help="the author, for the image and its history")
    changing.register(parser)
    add(
        "-p",
        "--pause",
        type=boolean,
        nargs="?",
        const=True,
        help="pause the container meanwhile (default: where that can be)",
    )
    add("container", metavar="CONTAINER")
    add("name", metavar="NAME[:TAG]", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    from wherry.build.committed import commit
    from wherry.container import events
    from wherry.container.containers import Containers

    tag = name(args.name) if args.name else None
    with Store.open() as store:
        container = Containers(store.root).find(args.container)
        with _still(container, args.pause), store.lease():
            modes.enter(container.spec.isolation)
            image = commit(store, container, changes=args.change, author=args.author, message=args.message)
            if tag:
                store.images.tag(tag, image)
        about = {"comment": args.message, "imageID": image, "imageRef": tag.familiar if tag else ""}
        events.record(container.folder, container.spec, "commit", **about)
    print(image)
    return 0


@contextmanager
def _still(container: Container, wanted: bool | None) -> Iterator[None]:
    """The container's processes are stopped where they are; None: if they can be, else the user is told."""
    from wherry.container.monitor import control
    from wherry.container.monitor.connection import tell
    from wherry.container.state import RUNNING

    is_paused = False
    if container.state.status == RUNNING and wanted is not False:
        try:
            tell(container, control.PAUSE)
            is_paused = True
        except WherryError as error:
            if wanted:
                raise
            print(f"warning: what the container is writing may be cut off: {error.message}", file=sys.stderr)
    try:
        yield
    finally:
        if is_paused:
            tell(container, control.UNPAUSE)
