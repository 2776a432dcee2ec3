"""`wherry inspect`: images, containers, networks and volumes as JSON documents of docker's shape."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.cli import containerdocument, documents
from wherry.cli.several import each
from wherry.container.containers import Containers
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform
from wherry.store.store import Store
from wherry.ui import format

_TYPES = ("image", "container", "network", "volume")


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME|ID", nargs="+")
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template, for each thing in turn")
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="the image for this platform, where a name has several"
    )
    parser.add_argument("-s", "--size", action="store_true", help="Of containers: what they have written too")
    parser.add_argument("--type", default="", help=f"Look only for one kind: {', '.join(_TYPES)}")


def run(args: argparse.Namespace) -> int:
    kind = args.words[0] if len(args.words) > 1 else args.type
    if kind and kind not in _TYPES:
        raise WherryError(
            f"{kind!r} is not a type that can be inspected", hint=f"the types are {', '.join(_TYPES)}"
        )
    platform = platforms.parse(args.platform) if args.platform else None
    if platform and kind == "container":
        raise UsageError("a container has one platform", hint="leave --platform out")
    if platform and kind in ("network", "volume"):
        raise UsageError(f"a {kind} has no platform", hint="leave --platform out")
    kind = "image" if platform else kind
    found: list[dict[str, Any]] = []
    with Store.open() as store:
        code = each(args.names, lambda name: found.append(_document(store, name, kind, platform)))
        if args.size:
            _add_sizes(store, found)
    if not args.format:
        print(format.pretty(found), end="")
    for document in found if args.format else ():
        print(format.document(args.format, document), end="")
    return code


def _add_sizes(store: Store, found: list[dict[str, Any]]) -> None:
    from wherry.cli.containersizes import sizes

    known = sizes(
        store, [one for document in found if (one := Containers(store.root).get(document.get("Id", "")))]
    )
    for document in found:
        if document.get("Id") in known:
            document["SizeRw"], document["SizeRootFs"] = known[document["Id"]]


def _document(store: Store, name: str, kind: str, platform: Platform | None) -> dict[str, Any]:
    """Containers first, then images, then networks, then volumes, as docker looks."""
    if kind == "network":
        return _network(store, name)
    if kind == "volume":
        return _volume(store, name)
    if kind != "image":
        try:
            return containerdocument.document(store, Containers(store.root).find(name))
        except NotFound:
            if kind:
                raise
    if platform:
        return documents.image(store, store.images.find(name, platform))
    image = store.images.resolve(name)
    if image:
        return documents.image(store, image)
    if kind:
        raise NotFound(f"no such image: {name}", hint="`wherry images` lists what is here")
    for look in (_network, _volume):
        with suppress(NotFound):
            return look(store, name)
    raise NotFound(
        f"no such image, container, network or volume: {name}",
        hint="`wherry images`, `wherry ps -a`, `wherry network ls` and `wherry volume ls` list what is here",
    )


def _network(store: Store, name: str) -> dict[str, Any]:
    from wherry.cli.network import facts

    return facts.document(facts.find(store.root, name))


def _volume(store: Store, name: str) -> dict[str, Any]:
    from wherry.cli.volume.inspect import document
    from wherry.container import volumes

    return document(volumes.find(store.root, name))
