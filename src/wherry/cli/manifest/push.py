"""`wherry manifest push`: a list as an index to a registry, with all images that it names."""

from __future__ import annotations

import argparse
import sys

from wherry.cli.parser import add_tls_verify


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--purge", action="store_true", help="remove the list when it is pushed")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the digest and nothing else")
    add_tls_verify(parser)
    parser.add_argument("list", metavar="LIST")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="a name in a registry, if not the list's")


def run(args: argparse.Namespace) -> int:
    from wherry.cli.transfers import COPY, Transfers
    from wherry.transfer.joining import list_name, push
    from wherry.transfer.lists import Lists
    from wherry.transfer.opening import Opening

    name = list_name(args.list)
    target = list_name(args.target.removeprefix("docker://")) if args.target else name
    with Transfers(COPY, sys.stdout, args.quiet) as transfers, Opening(args.tls_verify, transfers) as opening:
        lists = Lists(opening.store())
        digest = push(opening, lists.get(name), target, transfers)
        if args.purge:
            lists.delete(name)
    print(digest)
    return 0
