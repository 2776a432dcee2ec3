"""Images of one platform each become an index: what an image is as an entry, and how all of it is pushed."""

from __future__ import annotations

import os

from wherry.base.errors import NotFound, Unsupported, UsageError
from wherry.base.events import Emit, ignore
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Index, decode
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.referrers import artifact_type_of
from wherry.transfer import places
from wherry.transfer.content import Source, small
from wherry.transfer.copy import copy
from wherry.transfer.lists import Entry, ImageList, Item
from wherry.transfer.opening import Opening
from wherry.transfer.places import Place
from wherry.transfer.trees import parsed


def items_of(source: Source, place: Place) -> list[Item]:
    """What is at a place, as items of a list."""
    text = _pinned(place, source.root().digest)
    return [Item(text, entry) for entry in entries_of(source)]


def entries_of(source: Source) -> list[Entry]:
    """The entries of an index that is there; for an image alone the one that it would have."""
    root = source.root()
    found = parsed(source, root)
    if isinstance(found, Index):
        return list(decode(root.raw).get("manifests") or ())
    entry: Entry = {"mediaType": found.media_type, "digest": root.digest, "size": len(root.raw)}
    if found.config.media_type in media.CONFIGS:
        entry["platform"] = configs.parse(small(source, found.config)).platform.to_json()
    elif kind := artifact_type_of(root.raw):
        entry["artifactType"] = kind
    return [entry]


def find(images: ImageList, text: str) -> Item:
    """The item of a list that a user means: by the place it was taken from, or by its digest."""
    if digests.is_digest(text):
        found = [item for item in images.items if item.entry["digest"] == text]
    else:
        place = places.parse(text)
        digest = place.reference.digest if place.reference else place.digest
        found = [
            item
            for item in images.items
            if _same(places.parse(item.source), place) or (digest and item.entry["digest"] == digest)
        ]
    if not found:
        raise NotFound(
            f"the list {images.name.familiar} has no image {text}",
            hint=f"it has: {', '.join(dict.fromkeys(_shown(item) for item in images.items))}",
        )
    if len(found) > 1:
        raise UsageError(
            f"{text} is several images of the list {images.name.familiar}",
            hint="name one by its digest: "
            + ", ".join(f"{item.entry['digest']} ({_platform(item)})" for item in found),
        )
    return found[0]


def push(opening: Opening, images: ImageList, target: Reference, emit: Emit = ignore) -> Digest:
    """All images of a list to the repository of `target`, then the index under its tag; its digest."""
    if not images.items:
        raise Unsupported(f"the list {images.name.familiar} is empty")
    for item in images.items:
        source = places.parse(item.source)
        member = Descriptor(item.entry["mediaType"], digests.parse(item.entry["digest"]), item.entry["size"])
        goal = _goal(target, member.digest)
        try:
            copy(opening.source(source), opening.target(goal, source), emit=emit, member=member)
        except NotFound as error:
            raise NotFound(
                f"{item.source} is not what it was when it came into the list: {error.message}",
                hint=f"put it in anew: `wherry manifest create --amend {images.name.familiar} IMAGE`",
            ) from None
    index = images.as_index()
    client = opening.client(target, push=True)
    return client.put_manifest(target.tag, index.raw, index.media_type)


def _goal(target: Reference, digest: Digest) -> Place:
    reference = target._replace(tag="", digest=digest)
    return Place(places.REGISTRY, str(reference), reference)


def _pinned(place: Place, digest: Digest) -> str:
    """The words for what is at a place now, wherever they are read again."""
    if place.reference is not None:
        return f"docker://{place.reference.with_default_tag()._replace(digest=digest)}"
    if place.kind == places.STORE:
        return place.text
    if place.kind == places.LAYOUT:
        name = f":{place.name}" if place.name else ""
        return f"{place.kind}:{os.path.abspath(place.path)}{name}@{digest}"
    raise Unsupported(
        f"{place.text}: a list takes images of registries, layouts and the store",
        hint=f"copy it first: `wherry copy {place.text} oci:FOLDER:TAG`",
    )


def _same(one: Place, other: Place) -> bool:
    """Whether both name one image, whatever digest it had."""
    if one.reference and other.reference:
        name, tag = one.reference.name, one.reference.tag
        return name == other.reference.name and tag == other.reference.with_default_tag().tag
    if one.kind != other.kind or one.reference or other.reference:
        return False
    return (os.path.abspath(one.path), one.name) == (os.path.abspath(other.path), other.name)


def _shown(item: Item) -> str:
    place = places.parse(item.source)
    if place.reference:
        return place.reference._replace(digest=None).familiar
    return item.source.partition("@")[0]


def _platform(item: Item) -> str:
    value = item.entry.get("platform")
    return str(platforms.from_json(value)) if isinstance(value, dict) else "no platform"


def list_name(text: str) -> Reference:
    """The name of a list, which is where it will be pushed to."""
    reference = references.parse(text)
    if reference.digest:
        raise UsageError(f"a list cannot be called {text!r}: a digest cannot be chosen", hint="name a tag")
    return reference.with_default_tag()
