"""What an archive says of its images: docker's `manifest.json`, or an OCI layout's `index.json`.

Both are read into the same value; whether its layers are what they claim is load.py's to find out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import match, media
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Index, Manifest, parse
from wherry.oci.reference import Reference
from wherry.output.archive import FULL_NAME, REF_NAME
from wherry.output.members import Member, Members

_MAX_INDEXES = 3
_HEX = re.compile(r"[0-9a-f]{64}")


class Described(NamedTuple):
    """`layers`: lowest first. `manifest`: the OCI manifest's bytes, None in a docker archive."""

    config: Member
    layers: tuple[Member, ...]
    names: tuple[Reference, ...]
    manifest: Manifest | None = None


def images(members: Members) -> list[Described]:
    """The images of an archive. Where it is of both kinds, docker's list is the one that counts.

    docker writes both, and in its layout the layers are not compressed: nothing to push as it is.
    """
    if members.has("manifest.json"):
        return list(_docker(members))
    if members.has("index.json"):
        return list(_layout(members))
    if members.has("repositories"):
        raise Unsupported(
            "the archive is of the form that docker wrote before version 1.10 (2016), which has no manifest",
            hint="load it with a docker of that time, and save it again",
        )
    raise Corrupt(
        "not an image archive: it has neither manifest.json nor index.json",
        hint="`wherry load` takes what `docker save`, `podman save` and `skopeo copy` write",
    )


def _docker(members: Members) -> Iterable[Described]:
    items = _json(members, "manifest.json")
    if not isinstance(items, list):
        raise Corrupt("manifest.json is not a list")
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
            raise Corrupt("manifest.json has an entry without a config")
        config = members.find(item["Config"])
        promised = _HEX.search(item["Config"])
        if promised and digests.from_hex(promised[0]) != config.digest:
            raise Corrupt(f"{item['Config'][:200]} has other content than its name says: {config.digest}")
        yield Described(
            config,
            tuple(members.find(name) for name in _texts(item, "Layers")),
            tuple(_name(tag) for tag in _texts(item, "RepoTags")),
        )


def _texts(item: dict[str, object], key: str) -> list[str]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Corrupt(f"manifest.json: {key!r} is not a list of strings")
    return value


def _layout(members: Members) -> Iterable[Described]:
    index = parse(members.document("index.json"), media.INDEX)
    if not isinstance(index, Index):
        raise Corrupt("index.json is not an image index")
    by_manifest: dict[Descriptor, list[Reference]] = {}
    for entry in _for_this_machine(index):
        names = by_manifest.setdefault(entry._replace(annotations=()), [])
        names += [name for name in _names(entry) if name not in names]
    for entry, names in by_manifest.items():
        yield _described(members, entry, tuple(names))


def _for_this_machine(index: Index) -> list[Descriptor]:
    """The entries to load. Several of one name that differ in platform are one image for many machines."""
    groups: dict[tuple[Reference, ...], list[Descriptor]] = {}
    for entry in index.manifests:
        groups.setdefault(tuple(_names(entry)), []).append(entry)
    chosen = []
    for entries in groups.values():
        if len({entry.platform for entry in entries}) > 1 and all(entry.platform for entry in entries):
            chosen.append(_choose(entries))
        else:
            chosen += entries
    return chosen


def _described(members: Members, entry: Descriptor, names: tuple[Reference, ...]) -> Described:
    for _ in range(_MAX_INDEXES):
        if members.blob(entry.digest).size != entry.size:
            raise Corrupt(f"the archive gives a wrong size for {entry.digest}")
        document = parse(members.document(f"blobs/sha256/{digests.hex_of(entry.digest)}"), entry.media_type)
        if isinstance(document, Manifest):
            break
        entry = _choose(document.manifests)
    else:
        raise Unsupported(f"an index of indexes, more than {_MAX_INDEXES} deep")
    check_config_type(document)
    layers = tuple(members.blob(layer.digest) for layer in document.layers)
    return Described(members.blob(document.config.digest), layers, names, document)


def check_config_type(manifest: Manifest) -> None:
    """Layouts carry more than images: charts, signatures, modules."""
    kind = manifest.config.media_type
    if kind not in (media.CONFIG, media.DOCKER_CONFIG):
        raise Unsupported(f"not a container image: its config is of type {kind!r}")


def _choose(entries: Iterable[Descriptor]) -> Descriptor:
    entries = tuple(entries)
    here = platforms.host()
    found = match.choose(entries, here)
    if found is None:
        raise NotFound(
            f"the archive has no image for {here}",
            hint=f"it has: {', '.join(match.offered(entries)) or 'none at all'}",
        )
    return found


def _names(entry: Descriptor) -> list[Reference]:
    """The name in an entry's annotations. A tag alone (docker and umoci write it) names nothing."""
    annotations = dict(entry.annotations)
    if full := annotations.get(FULL_NAME):
        return [_name(full)]
    short = annotations.get(REF_NAME, "")
    return [_name(short)] if ":" in short or "/" in short else []


def _name(text: str) -> Reference:
    try:
        reference = references.parse(text).with_default_tag()
    except WherryError as error:
        raise Corrupt(f"the archive names an image wrongly: {error.message}") from None
    if not reference.tag:
        raise Corrupt(f"the archive names an image by digest: {text[:200]!r}")
    return reference._replace(digest=None)


def _json(members: Members, name: str) -> object:
    try:
        document: object = json.loads(members.document(name))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not JSON: {str(error)[:100]}") from None
    return document
