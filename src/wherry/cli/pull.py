"""`wherry pull`: an image from a registry, or the images of all platforms."""

from __future__ import annotations

import argparse
import sys

from wherry.base.errors import UsageError
from wherry.cli.parser import add_tls_verify
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image's name and nothing else")
    parser.add_argument(
        "--all-platforms", action="store_true", help="pull the images of all platforms under one name"
    )
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="the platform to choose where there are several"
    )
    add_tls_verify(parser)
    parser.add_argument("name", metavar="NAME[:TAG|@DIGEST]")


def run(args: argparse.Namespace) -> int:
    from wherry.cli.transfers import PULL, Transfers
    from wherry.registry import access
    from wherry.registry.pull import retrieve, retrieve_all

    if args.platform and args.all_platforms:
        raise UsageError("--platform and --all-platforms contradict each other", hint="leave one of them out")
    reference = references.parse(args.name)
    platform = platforms.parse(args.platform) if args.platform else None
    if not args.quiet:
        if not reference.tag and not reference.digest:
            print(f"Using default tag: {references.DEFAULT_TAG}")
        reference = reference.with_default_tag()
        shown = reference.familiar_name if reference.registry != references.DEFAULT_REGISTRY else ""
        print(
            f"{reference.digest or reference.tag}: Pulling from {shown or reference.repository}", flush=True
        )
    reference = reference.with_default_tag()
    with Store.open() as store, Transfers(PULL, sys.stdout, args.quiet) as transfers:
        way = access.load(args.tls_verify, args.name)
        if args.all_platforms:
            pulled = retrieve_all(store, reference, transfers, access=way)
        else:
            pulled = retrieve(store, reference, platform, transfers, access=way)
    if not args.quiet:
        print(f"Digest: {pulled.digest}")
        news = "Downloaded newer image" if pulled.fresh else "Image is up to date"
        print(f"Status: {news} for {reference.familiar}")
    print(reference)
    return 0
