"""`wherry manifest annotate`: say which platform an image of a list is for."""

from __future__ import annotations

import argparse
from typing import Any

from wherry.base.errors import UsageError


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--annotation", metavar="KEY=VALUE", action="append", default=[], help="annotate the entry"
    )
    parser.add_argument("--arch", default="", help="set the architecture")
    parser.add_argument("--os", default="", help="set the operating system")
    parser.add_argument(
        "--os-features", metavar="FEATURE,...", action="append", default=[], help="set what it asks of that"
    )
    parser.add_argument("--os-version", metavar="VERSION", default="", help="set the version of that")
    parser.add_argument("--variant", default="", help="set the architecture's variant")
    parser.add_argument("list", metavar="LIST")
    parser.add_argument("image", metavar="IMAGE")


def run(args: argparse.Namespace) -> int:
    from wherry.store.store import Store
    from wherry.transfer.joining import find, list_name
    from wherry.transfer.lists import Lists, joined

    name = list_name(args.list)
    with Store.open() as store:
        lists = Lists(store)
        with lists.alone():
            images = lists.get(name)
            item = find(images, args.image)
            item = item._replace(entry=_annotated(item.entry, args))
            lists.put(images._replace(items=joined(images.items, [item])))
    return 0


def _annotated(entry: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The entry with what was said of its platform, normalised; the rest of it stays."""
    from wherry.oci import platform as platforms

    said = {"os": args.os, "architecture": args.arch, "variant": args.variant, "os.version": args.os_version}
    said = {key: value for key, value in said.items() if value}
    features = [feature for text in args.os_features for feature in text.split(",") if feature]
    pairs = dict(_pair(text) for text in args.annotation)
    if not said and not features and not pairs:
        raise UsageError("nothing to annotate", hint="write --arch, --os, --variant, --os-version or others")
    platform = {**(entry.get("platform") or {}), **said, **({"os.features": features} if features else {})}
    annotations = {**(entry.get("annotations") or {}), **pairs}
    if said or features:
        entry = entry | {"platform": platforms.from_json(platform).to_json()}
    return entry | ({"annotations": annotations} if annotations else {})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--annotation {text}: write KEY=VALUE")
    return key, value
