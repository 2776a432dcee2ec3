"""`wherry push`: an image to a registry."""

from __future__ import annotations

import argparse
import sys

from wherry.base.errors import NotFound
from wherry.cli import forms
from wherry.cli.parser import add_tls_verify
from wherry.oci import reference as references
from wherry.runtime import modes
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image's name and nothing else")
    parser.add_argument(
        "--allow-nondistributable-artifacts",
        action="store_true",
        help="send layers too that may not be passed on, to a registry that nobody else reads",
    )
    add_tls_verify(parser)
    forms.register(parser)
    parser.add_argument("name", metavar="NAME[:TAG]")


def run(args: argparse.Namespace) -> int:
    from wherry.cli.transfers import PUSH, Transfers
    from wherry.registry import config
    from wherry.registry.push import push

    form = forms.read(args)
    reference = references.parse(args.name)
    if not args.quiet and not reference.tag and not reference.digest:
        print(f"Using default tag: {references.DEFAULT_TAG}")
    reference = reference.with_default_tag()
    with Store.open() as store:
        modes.enter_as_user()
        name = store.images.name(reference)
        if name is None:
            raise NotFound(
                f"no image has the name {reference.familiar}",
                hint=f"give it one: `wherry tag IMAGE {reference.familiar}`",
            )
        if not args.quiet:
            print(f"The push refers to repository [{reference.name}]", flush=True)
        with Transfers(PUSH, sys.stdout, args.quiet) as transfers:
            digest = push(
                store,
                store.images.get(name.image),
                reference,
                transfers,
                form=form,
                annotations=name.annotations,
                registries=config.load(args.tls_verify),
                foreign=args.allow_nondistributable_artifacts,
            )
    print(reference if args.quiet else f"{reference.tag}: digest: {digest}")
    return 0
