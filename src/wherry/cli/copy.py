"""`wherry copy`: an image from one place to another, as it is."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError, WherryError
from wherry.cli.parser import add_tls_verify
from wherry.oci import platform as platforms
from wherry.store.store import Store
from wherry.transfer import places
from wherry.transfer.places import Place

if TYPE_CHECKING:
    from wherry.oci.reference import Reference
    from wherry.transfer.content import Source


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a", "--all", action="store_true", help="all platforms, where they would not be copied without it"
    )
    parser.add_argument(
        "--platform",
        metavar="OS/ARCH,...",
        action="append",
        default=[],
        help="only these platforms: of one its image, of several an index of their images",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print the digest and nothing else")
    parser.add_argument(
        "--referrers",
        action="store_true",
        help="copy signatures, SBOMs and what else refers to the image, too",
    )
    add_tls_verify(parser)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.epilog = (
        "Places: a name in a registry, oci:FOLDER[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME],"
        "\nstore:NAME. Of archives FILE may be -."
    )


def run(args: argparse.Namespace) -> int:
    from wherry.cli.transfers import COPY, Transfers
    from wherry.transfer.copy import copy
    from wherry.transfer.opening import Opening, default_platforms

    if args.all and args.platform:
        raise UsageError("--all and --platform contradict each other", hint="leave one of them out")
    source, target = places.parse(args.source), places.parse(args.target)
    chosen = [platforms.parse(text) for word in args.platform for text in word.split(",")]
    out = sys.stderr if target.path == places.STDIO else sys.stdout
    with Transfers(COPY, out, args.quiet) as transfers, Opening(args.tls_verify, transfers) as opening:
        origin = opening.source(source)
        if not args.quiet:
            print(f"Copying {origin.shown} to {_shown(target)}", file=out, flush=True)
        if source.reference is not None:
            _look(origin, source.reference, source.text.removeprefix("docker://"))
        if not chosen and not args.all:
            chosen = default_platforms(origin, target)
        digest = copy(origin, opening.target(target, source), chosen, args.referrers, transfers)
    print(digest if args.quiet else f"Digest: {digest}", file=out)
    return 0


def _shown(place: Place) -> str:
    return place.reference.with_default_tag().familiar if place.reference else place.text


def _look(source: Source, reference: Reference, name: str) -> None:
    """Whether a registry has the image. Who writes a name alone may have meant what is here."""
    try:
        source.root()
    except WherryError as error:
        here = ""
        if os.path.exists(name):
            kinds = "oci:" if os.path.isdir(name) else "oci-archive: or docker-archive:"
            here = f"if you mean what is at this path, write {kinds}{name}"
        else:
            with Store.open() as store:
                if store.images.id_of(reference) is not None:
                    here = f"if you mean the image in the store, write store:{name}"
        error.hint = "\n".join(filter(None, (here, error.hint)))
        raise
