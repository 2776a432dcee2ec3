"""`wherry ls`: the tags of a repository."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.cli.parser import add_tls_verify
from wherry.oci import reference as references
from wherry.ui import format

HEADERS = {"Tag": "TAG", "Repository": "REPOSITORY", "Name": "NAME"}


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add_tls_verify(parser)
    parser.add_argument("name", metavar="REPOSITORY")


def run(args: argparse.Namespace) -> int:
    from wherry.registry import config
    from wherry.registry.client import Client
    from wherry.registry.lists import tags

    reference = references.parse(args.name)
    if reference.tag or reference.digest:
        raise UsageError(
            f"{args.name} is one image: `ls` lists the tags of a repository",
            hint=f"write `wherry ls {reference.familiar_name}`",
        )
    with Client(reference, registries=config.load(args.tls_verify, args.name)) as client:
        found = tags(client)
    shown = reference.familiar_name
    rows = [{"Tag": tag, "Repository": shown, "Name": f"{shown}:{tag}"} for tag in found]
    print(format.listing(args.format or "{{.Tag}}", HEADERS, ["Repository", "Tag"], rows), end="")
    return 0
