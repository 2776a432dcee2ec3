"""What an archive says of its images: docker's `manifest.json`, or an OCI layout's `index.json`.

All are read into the same value; whether the layers are what they claim is load.py's to find out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import match, media
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Index, Manifest, parse
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.output import legacy
from wherry.output.archive import FULL_NAME, REF_NAME, blob_name
from wherry.output.members import Member, Members

_MAX_INDEXES = 3
_MAX_IMAGES = 1000
"""Of one index: one that names another index again and again has more than any memory holds."""
_HEX = re.compile(r"[0-9a-f]{64}")


class Described(NamedTuple):
    """One image. `layers`: lowest first. `entry` is what names it in an index, and `manifest` the OCI
    manifest; both None in a docker archive."""

    config: Member
    layers: tuple[Member, ...]
    manifest: Manifest | None = None
    entry: Descriptor | None = None


class Group(NamedTuple):
    """What has names: one image, or those of several platforms. `whole`: the index that names these and
    nothing else; None where there is none, or where not all that it names is loaded."""

    images: tuple[Described, ...]
    names: tuple[Reference, ...]
    whole: Index | None = None


def groups(members: Members, platform: Platform | None = None) -> list[Group]:
    """The images of an archive; of those for several platforms the one for `platform`, or all that are there.

    Where it is of both kinds, docker's list is the one that counts: docker writes both, and in its layout the
    layers are not compressed, nothing to push as it is. A list cannot have several platforms, though.
    """
    if members.has("manifest.json") and not _has_indexes(members):
        return list(_docker(members))
    if members.has("index.json"):
        return list(_layout(members, platform))
    if legacy.is_legacy(members):
        return [
            Group((Described(config, layers),), tuple(map(_name, names)))
            for config, layers, names in legacy.images(members)
        ]
    raise Corrupt(
        "not an image archive: it has neither manifest.json nor index.json",
        hint="`wherry load` takes what `docker save`, `podman save` and `skopeo copy` write; a root"
        " file system is for `wherry import`",
    )


def _has_indexes(members: Members) -> bool:
    if not members.has("index.json"):
        return False
    return any(entry.media_type in media.INDEXES for entry in _top(members).manifests)


def _docker(members: Members) -> Iterable[Group]:
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
        image = Described(config, tuple(members.find(name) for name in _texts(item, "Layers")))
        yield Group((image,), tuple(_name(tag) for tag in _texts(item, "RepoTags")))


def _texts(item: dict[str, object], key: str) -> list[str]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Corrupt(f"manifest.json: {key!r} is not a list of strings")
    return value


def _top(members: Members) -> Index:
    index = parse(members.document("index.json"), media.INDEX)
    if not isinstance(index, Index):
        raise Corrupt("index.json is not an image index")
    return index


def _layout(members: Members, platform: Platform | None) -> Iterator[Group]:
    for entries, names in _entries(_top(members)):
        found = _few(_manifests(members, entries))
        if platform and len(found) > 1:
            found = [_chosen(found, platform)]
        images = tuple(_image(members, entry, manifest) for entry, manifest in found)
        yield Group(images, names, _whole(members, entries, found))


def _entries(index: Index) -> list[tuple[tuple[Descriptor, ...], tuple[Reference, ...]]]:
    """The entries that belong together, with their names: one that has several names comes several times, and
    several of one name that differ in platform are one image for many machines."""
    groups: dict[tuple[Reference, ...], list[Descriptor]] = {}
    for entry in index.manifests:
        groups.setdefault(tuple(_names(entry)), []).append(entry)
    named: dict[tuple[Descriptor, ...], list[Reference]] = {}
    for names, entries in groups.items():
        is_one = len({entry.platform for entry in entries}) > 1 and all(entry.platform for entry in entries)
        plain = [entry._replace(annotations=_unnamed(entry)) for entry in entries]
        for together in [tuple(plain)] if is_one else [(entry,) for entry in plain]:
            known = named.setdefault(together, [])
            known += [name for name in names if name not in known]
    return [(entries, tuple(names)) for entries, names in named.items()]


def _unnamed(entry: Descriptor) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in entry.annotations if pair[0] not in (FULL_NAME, REF_NAME))


def _manifests(
    members: Members, entries: Sequence[Descriptor], depth: int = 0
) -> Iterator[tuple[Descriptor, Manifest]]:
    """The manifests of images behind the entries, through indexes. Whoever saved one image of an index may
    have left the others out."""
    if depth > _MAX_INDEXES:
        raise Unsupported(f"an index of indexes, more than {_MAX_INDEXES} deep")
    for entry in entries:
        if match.is_attestation(entry) or (depth and not members.has(blob_name(entry.digest))):
            continue
        _blob(members, entry)
        document = parse(members.document(blob_name(entry.digest)), entry.media_type)
        if isinstance(document, Manifest):
            yield entry, document
        else:
            below = _few(_manifests(members, document.manifests, depth + 1))
            if not below:
                raise NotFound(
                    "the archive has none of the images that its index names",
                    hint=f"it speaks of: {', '.join(match.offered(document.manifests)) or 'none at all'}",
                )
            yield from below


def _few(found: Iterator[tuple[Descriptor, Manifest]]) -> list[tuple[Descriptor, Manifest]]:
    images = list(islice(found, _MAX_IMAGES + 1))
    if len(images) > _MAX_IMAGES:
        raise Unsupported(f"the archive has an index with more than {_MAX_IMAGES} images")
    return images


def _chosen(found: Sequence[tuple[Descriptor, Manifest]], platform: Platform) -> tuple[Descriptor, Manifest]:
    entries = [entry for entry, _ in found]
    number = match.best([entry.platform for entry in entries], platform)
    if number is None:
        raise NotFound(
            f"the archive has no image for {platform}",
            hint=f"it has: {', '.join(match.offered(entries)) or 'none at all'}",
        )
    return found[number]


def _whole(
    members: Members, entries: Sequence[Descriptor], found: Sequence[tuple[Descriptor, Manifest]]
) -> Index | None:
    """The index behind the entries, where it names just what was found."""
    if len(entries) != 1 or entries[0].media_type not in media.INDEXES:
        return None
    index = parse(members.document(blob_name(entries[0].digest)), entries[0].media_type)
    is_whole = isinstance(index, Index) and list(index.manifests) == [entry for entry, _ in found]
    return index if isinstance(index, Index) and is_whole else None


def _image(members: Members, entry: Descriptor, manifest: Manifest) -> Described:
    check_config_type(manifest)
    layers = tuple(_blob(members, layer) for layer in manifest.layers)
    return Described(_blob(members, manifest.config), layers, manifest, entry)


def _blob(members: Members, described: Descriptor) -> Member:
    found = members.blob(described.digest)
    if found.size != described.size:
        raise Corrupt(f"the archive gives a wrong size for {described.digest}")
    return found


def check_config_type(manifest: Manifest) -> None:
    """Layouts carry more than images: charts, signatures, modules."""
    kind = manifest.config.media_type
    if kind not in (media.CONFIG, media.DOCKER_CONFIG):
        raise Unsupported(f"not a container image: its config is of type {kind!r}")


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
