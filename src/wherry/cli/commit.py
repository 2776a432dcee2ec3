"""`wherry commit`: an image of what a container has become."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.tag import name
from wherry.runtime import modes
from wherry.store.store import Store


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--author", default="", metavar="NAME", help="the author, for the image and its history")
    add(
        "-c",
        "--change",
        action="append",
        default=[],
        metavar="INSTRUCTION",
        help="a Dockerfile instruction for the image's config, such as 'CMD [\"/bin/sh\"]'; may be repeated",
    )
    add("-m", "--message", default="", help="a comment for the image's history")
    add("container", metavar="CONTAINER")
    add("name", metavar="NAME[:TAG]", nargs="?", default="")


def run(args: argparse.Namespace) -> int:
    from wherry.build.committed import commit
    from wherry.container import events
    from wherry.container.containers import Containers

    tag = name(args.name) if args.name else None
    with Store.open() as store:
        container = Containers(store.root).find(args.container)
        modes.enter(container.spec.isolation)
        with store.lease():
            image = commit(store, container, changes=args.change, author=args.author, message=args.message)
            if tag:
                store.images.tag(tag, image)
        about = {"comment": args.message, "imageID": image, "imageRef": tag.familiar if tag else ""}
        events.record(container.folder, container.spec, "commit", **about)
    print(image)
    return 0
