"""`wherry push`: an image to a registry, or the images of all platforms that a name has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from wherry.base.errors import NotFound
from wherry.cli import forms
from wherry.cli.parser import add_tls_verify
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
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
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="push only the image for this platform, where there are several"
    )
    parser.add_argument("name", metavar="NAME[:TAG]")


def run(args: argparse.Namespace) -> int:
    from wherry.cli.transfers import PUSH, Transfers
    from wherry.registry import access

    form = forms.read(args)
    platform = platforms.parse(args.platform) if args.platform else None
    reference = references.parse(args.name)
    if not args.quiet and not reference.tag and not reference.digest:
        print(f"Using default tag: {references.DEFAULT_TAG}")
    reference = reference.with_default_tag()
    with Store.open() as store:
        modes.enter_as_user()
        send = _sender(store, reference, platform)
        if not args.quiet:
            print(f"The push refers to repository [{reference.name}]", flush=True)
        with Transfers(PUSH, sys.stdout, args.quiet) as transfers:
            digest = send(
                emit=transfers,
                form=form,
                access=access.load(args.tls_verify),
                foreign=args.allow_nondistributable_artifacts,
            )
    print(reference if args.quiet else f"{reference.tag}: digest: {digest}")
    return 0


def _sender(store: Store, reference: Reference, platform: Platform | None) -> Callable[..., Digest]:
    """What pushes what the name means."""
    name, index = store.images.name(reference), store.images.index_of(str(reference))
    if name is None:
        raise NotFound(
            f"no image has the name {reference.familiar}",
            hint=f"give it one: `wherry tag IMAGE {reference.familiar}`",
        )
    if index and not platform:
        from wherry.registry.pushall import push_all

        if index.source and not index.whole:
            here = ", ".join(index.platforms)
            print(f"note: only the platforms that are here are pushed: {here}", file=sys.stderr)
        return partial(push_all, store, index, reference)
    from wherry.registry.push import push

    image = store.images.find(str(reference), platform)
    member = index.member(platform) if index and platform else None
    image = store.images.of(member) if member else image
    annotations = member.annotations if member else name.annotations
    return partial(push, store, image, reference, annotations=annotations)
