"""`wherry manifest create`: a list of images that will be pushed as one index."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.cli.parser import add_tls_verify

if TYPE_CHECKING:
    from wherry.oci.reference import Reference
    from wherry.transfer.lists import Lists


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a", "--amend", action="store_true", help="add to a list that there is; an image's entry is replaced"
    )
    add_tls_verify(parser)
    parser.add_argument("list", metavar="LIST")
    parser.add_argument("images", metavar="IMAGE", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.transfer import places
    from wherry.transfer.joining import items_of, list_name
    from wherry.transfer.lists import ImageList, Lists, joined
    from wherry.transfer.opening import Opening

    name = list_name(args.list)
    wanted = [places.parse(text) for text in args.images]
    with Opening(args.tls_verify) as opening:
        lists = Lists(opening.store())
        _check(lists, name, args.amend)
        items = [item for place in wanted for item in items_of(opening.source(place), place)]
        with lists.alone():
            _check(lists, name, args.amend)  # somebody may have been faster
            old = lists.find(name)
            lists.put(ImageList(name, joined(old.items if old else (), items)))
    print(f"Created manifest list {name}")
    return 0


def _check(lists: Lists, name: Reference, amend: bool) -> None:
    if not amend and lists.find(name):
        raise WherryError(
            f"there is a list {name.familiar} already",
            hint=f"add to it with --amend, or remove it: `wherry manifest rm {name.familiar}`",
        )
