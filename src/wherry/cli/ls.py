"""`wherry ls`: the tags of a repository, or the names in a layout."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.cli.parser import add_tls_verify
from wherry.ui import format

if TYPE_CHECKING:
    from wherry.oci.reference import Reference
    from wherry.transfer.places import Place

HEADERS = {"Tag": "TAG", "Repository": "REPOSITORY", "Name": "NAME"}


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add_tls_verify(parser)
    parser.add_argument("name", metavar="REPOSITORY")


def run(args: argparse.Namespace) -> int:
    from wherry.transfer import places

    place = places.parse(args.name)
    if place.kind == places.LAYOUT:
        repository, found = _in_layout(place)
    elif place.reference is None:
        raise UsageError(
            f"{args.name}: `ls` lists repositories and layouts", hint="as in `wherry ls oci:FOLDER`"
        )
    else:
        repository, found = _in_registry(place.reference, args)
    rows = [{"Tag": tag, "Repository": repository, "Name": f"{repository}:{tag}"} for tag in found]
    print(format.listing(args.format or "{{.Tag}}", HEADERS, ["Repository", "Tag"], rows), end="")
    return 0


def _in_registry(reference: Reference, args: argparse.Namespace) -> tuple[str, list[str]]:
    from wherry.registry import access
    from wherry.registry.client import Client
    from wherry.registry.lists import tags

    if reference.tag or reference.digest:
        raise UsageError(
            f"{args.name} is one image: `ls` lists the tags of a repository",
            hint=f"write `wherry ls {reference.familiar_name}`",
        )
    with Client(reference, access=access.load(args.tls_verify, args.name)) as client:
        return reference.familiar_name, tags(client)


def _in_layout(place: Place) -> tuple[str, list[str]]:
    from wherry.output.layoutimage import Layout
    from wherry.transfer.layouts import names

    if place.name or place.digest:
        raise UsageError(f"{place.text} is one image", hint=f"write `wherry ls oci:{place.path}`")
    return f"oci:{place.path}", names(Layout(place.path))
