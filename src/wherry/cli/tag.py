"""`wherry tag`: another name for an image, or for all images of a name."""

from __future__ import annotations

import argparse

from wherry.base.errors import WherryError
from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE_IMAGE[:TAG]")
    parser.add_argument("target", metavar="TARGET_IMAGE[:TAG]")


def run(args: argparse.Namespace) -> int:
    target = name(args.target)
    with Store.open() as store:
        image = store.images.find(args.source)
        meant = store.images.named(args.source)
        if meant:
            store.images.tag(target, meant.image, meant.index_id, meant.annotations)
        else:
            store.images.tag(target, image.id)
    return 0


def name(text: str) -> Reference:
    """The name that an image is to get."""
    reference = references.parse(text)
    if reference.digest:
        raise WherryError(
            f"cannot give an image the name {text!r}: a digest cannot be chosen", hint="name a tag instead"
        )
    return reference
