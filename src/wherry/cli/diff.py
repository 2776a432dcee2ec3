"""`wherry diff`: what a container changed in its image."""

from __future__ import annotations

import argparse

from wherry.base.text import one_line
from wherry.runtime import modes
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    from wherry.container.changes import altered, changes
    from wherry.container.containers import Containers

    with Store.open() as store:
        container = Containers(store.root).find(args.container)
        modes.enter(container.spec.isolation)
        with store.lease(), altered(store, container) as found:
            listed = changes(found) if found else []
    for change in listed:
        print(change.kind, one_line(change.path))
    return 0
