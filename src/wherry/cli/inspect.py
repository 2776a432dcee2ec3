"""`wherry inspect`: images and containers as JSON documents of docker's shape."""

from __future__ import annotations

import argparse
from typing import Any

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.cli import documents
from wherry.cli.several import each
from wherry.container.containers import Containers
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform
from wherry.store.store import Store
from wherry.ui import format

_TYPES = ("image", "container")


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME|ID", nargs="+")
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template, for each thing in turn")
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="the image for this platform, where a name has several"
    )
    parser.add_argument("--type", default="", help="Look only for an image or only for a container")


def run(args: argparse.Namespace) -> int:
    kind = args.words[0] if len(args.words) > 1 else args.type
    if kind and kind not in _TYPES:
        raise WherryError(
            f"{kind!r} is not a type that can be inspected", hint="the types are image, container"
        )
    platform = platforms.parse(args.platform) if args.platform else None
    if platform and kind == "container":
        raise UsageError("a container has one platform", hint="leave --platform out")
    kind = "image" if platform else kind
    found: list[dict[str, Any]] = []
    with Store.open() as store:
        code = each(args.names, lambda name: found.append(_document(store, name, kind, platform)))
    if not args.format:
        print(format.pretty(found), end="")
    for document in found if args.format else ():
        print(format.document(args.format, document), end="")
    return code


def _document(store: Store, name: str, kind: str, platform: Platform | None) -> dict[str, Any]:
    """Containers first, as docker looks."""
    if kind != "image":
        try:
            return documents.container(store, Containers(store.root).find(name))
        except NotFound:
            if kind:
                raise
    if platform:
        return documents.image(store, store.images.find(name, platform))
    image = store.images.resolve(name)
    if image is None:
        what = "image" if kind else "image or container"
        raise NotFound(f"no such {what}: {name}", hint="`wherry images` and `wherry ps -a` list what is here")
    return documents.image(store, image)
