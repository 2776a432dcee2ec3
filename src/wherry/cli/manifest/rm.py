"""`wherry manifest rm`: forget lists; what they name stays where it is."""

from __future__ import annotations

import argparse

from wherry.cli.several import each


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lists", metavar="LIST", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.store.store import Store
    from wherry.transfer.joining import list_name
    from wherry.transfer.lists import Lists

    with Store.open() as store:
        lists = Lists(store)
        return each(args.lists, lambda text: lists.delete(list_name(text)))
