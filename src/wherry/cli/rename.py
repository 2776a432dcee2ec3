"""`wherry rename`: another name for a container."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("name", metavar="NEW_NAME")


def run(args: argparse.Namespace) -> int:
    from wherry.container.containers import Containers
    from wherry.container.options.options import check_name

    check_name(args.name)
    containers = Containers(default_root())
    container = containers.find(args.container)
    with container.folder.locked():
        containers.rename(container, args.name)
        if container.spec.networks.attachments and container.is_running:
            from wherry.container.connecting import tell

            tell(container)  # others find it by its new name
    return 0
