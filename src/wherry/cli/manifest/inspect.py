"""`wherry manifest inspect`: the manifest or the index under a name, without the image."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from wherry.base.errors import UsageError
from wherry.cli.parser import add_tls_verify
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Index, decode, parse
from wherry.ui import format

if TYPE_CHECKING:
    from wherry.registry.client import Document
    from wherry.transfer.content import Source
    from wherry.transfer.lists import Item
    from wherry.transfer.opening import Opening


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", action="store_true", help="print the very bytes that the digest is of")
    add_tls_verify(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="descriptors and manifests of all that an index names"
    )
    parser.add_argument("list", metavar="LIST", nargs="?")
    parser.add_argument("image", metavar="IMAGE")


def run(args: argparse.Namespace) -> int:
    from wherry.transfer.opening import Opening

    if args.raw and args.verbose:
        raise UsageError("--raw and --verbose contradict each other", hint="leave one of them out")
    with Opening(args.tls_verify) as opening:
        subject = _subject(opening, args.list, args.image)
        verbose = subject.verbose() if args.verbose else None
    if args.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(subject.document.raw)
    else:
        print(format.pretty(verbose if args.verbose else decode(subject.document.raw)), end="")
    return 0


class _Subject:
    """What is shown. `members`: of an index, each with its entry and the source that has it."""

    def __init__(self, name: str, document: Document, members: list[tuple[Source, dict[str, Any]]]) -> None:
        self.name = name
        self.document = document
        self._members = members

    def verbose(self) -> object:
        """docker's form: an object for each image, with its manifest parsed and as it is."""
        if isinstance(parse(self.document.raw, self.document.media_type), Index):
            return [_described(self.name, _document(source, entry), entry) for source, entry in self._members]
        return _described(self.name, self.document, self._members[0][1])


def _subject(opening: Opening, list_name: str | None, image: str) -> _Subject:
    """An image of a list, a list, or what is at a place: lists go before registries, as with docker."""
    from wherry.transfer import joining, places
    from wherry.transfer.lists import Lists

    if list_name is not None:
        item = joining.find(Lists(opening.store()).get(joining.list_name(list_name)), image)
        source = _source(opening, item)
        return _Subject(image, _document(source, item.entry), [(source, item.entry)])
    place = places.parse(image)
    if place.reference is not None and not place.reference.digest:
        images = Lists(opening.store()).find(place.reference.with_default_tag())
        if images is not None:
            members = [(_source(opening, item), item.entry) for item in images.items]
            return _Subject(str(images.name), images.as_index(), members)
    source = opening.source(place)
    members = [(source, entry) for entry in joining.entries_of(source)]
    shown = str(place.reference.with_default_tag()) if place.reference else image
    return _Subject(shown, source.root(), members)


def _source(opening: Opening, item: Item) -> Source:
    from wherry.transfer import places

    return opening.source(places.parse(item.source))


def _document(source: Source, entry: dict[str, Any]) -> Document:
    root = source.root()  # a manifest of the store is made when its image is asked for
    return root if root.digest == entry["digest"] else source.document(_descriptor(entry))


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    return Descriptor(entry["mediaType"], digests.parse(entry["digest"]), entry["size"])


def _described(name: str, document: Document, entry: dict[str, Any]) -> dict[str, Any]:
    from base64 import b64encode

    kind = "SchemaV2Manifest" if document.media_type == media.DOCKER_MANIFEST else "OCIManifest"
    repository = name.partition("@")[0]
    return {
        "Ref": name if repository != name else f"{name}@{document.digest}",
        "Descriptor": entry,
        "Raw": b64encode(document.raw).decode(),
        kind: decode(document.raw),
    }
