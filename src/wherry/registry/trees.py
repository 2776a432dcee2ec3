"""All that an index names: its images, and what is no image, such as attestations and artifacts."""

from __future__ import annotations

from wherry.base.errors import Corrupt, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import media
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor, Index, Manifest, parse
from wherry.oci.digest import Digest
from wherry.oci.match import is_attestation
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.registry.client import Client
from wherry.registry.parallel import Stop, each
from wherry.store.store import Store

MAX_DEPTH = 3
"""Indexes within indexes that are followed."""
_MAX_MANIFESTS = 1000
_MAX_ENTRIES = 10_000
_MAX_TOTAL = 4 * MAX_DOCUMENT
"""Bytes of all manifests, and of all configs: they are kept in memory until all is known to be good."""
_REQUESTS = 4


class Found(NamedTuple):
    """An image, and the platform that the index has it for."""

    platform: Platform | None
    manifest: Manifest


class Tree(NamedTuple):
    """`documents`: the index, those within it, and all manifests; `others` are those of what is no image."""

    documents: dict[Digest, Manifest | Index]
    images: tuple[Found, ...]
    others: tuple[Manifest, ...]


def read(store: Store, client: Client, root: Index) -> Tree:
    """What `root` names, in its order. What the store has is not asked for again."""
    documents: dict[Digest, Manifest | Index] = {root.digest: root}
    level = list(root.manifests)
    for _ in range(MAX_DEPTH):
        missing = list({entry.digest: entry for entry in level if entry.digest not in documents}.values())
        _check_number(client, [*documents.values()], missing)
        each(lambda entry, stop: _fetch(store, client, entry, documents, stop), missing, _REQUESTS)
        within = [documents[entry.digest] for entry in missing]
        level = [entry for index in within if isinstance(index, Index) for entry in index.manifests]
        if not level:
            break
    else:
        raise Unsupported(f"{client.reference.familiar} is an index of indexes, more than {MAX_DEPTH} deep")
    images: list[Found] = []
    others: dict[Digest, Manifest] = {}
    for entry, manifest in _entries(client, root, documents):
        if _is_image(entry, manifest):
            images.append(Found(entry.platform, manifest))
        else:
            others[manifest.digest] = manifest
    if sum(found.manifest.config.size for found in images) > _MAX_TOTAL:
        raise Unsupported(f"{client.reference.familiar} has more than {_MAX_TOTAL >> 20} MiB of configs")
    return Tree(documents, tuple(images), tuple(others.values()))


def parsed(reference: Reference, raw: bytes, media_type: str) -> Manifest | Index:
    try:
        return parse(raw, media_type)
    except WherryError as error:
        error.message = f"{reference.familiar}: {error.message}"
        raise


def _check_number(client: Client, known: list[Manifest | Index], missing: list[Descriptor]) -> None:
    size = sum(len(document.raw) for document in known) + sum(entry.size for entry in missing)
    if len(known) + len(missing) > _MAX_MANIFESTS or size > _MAX_TOTAL:
        raise Unsupported(
            f"{client.reference.familiar} names more than {_MAX_MANIFESTS} manifests, or more than"
            f" {_MAX_TOTAL >> 20} MiB of them",
            hint="pull one of its images: --platform OS/ARCH",
        )


def _fetch(
    store: Store, client: Client, entry: Descriptor, documents: dict[Digest, Manifest | Index], stop: Stop
) -> None:
    stop.check()
    if store.blobs.has(entry.digest):
        raw, media_type = store.blobs.read(entry.digest), entry.media_type
    else:
        raw, media_type, _ = client.manifest(entry.digest)
    if len(raw) != entry.size:
        raise Corrupt(
            f"{client.registry}: {client.reference.familiar}: the manifest {entry.digest} has {len(raw)}"
            f" bytes, not {entry.size} as its index says"
        )
    documents[entry.digest] = parsed(client.reference, raw, media_type)


def _entries(
    client: Client, root: Index, documents: dict[Digest, Manifest | Index]
) -> list[tuple[Descriptor, Manifest]]:
    """Each once, those of indexes within it in their place; they have their index's platform where they have
    none of their own."""
    found: dict[tuple[Digest, Platform | None], tuple[Descriptor, Manifest]] = {}
    pending = list(reversed(root.manifests))
    for _ in range(_MAX_ENTRIES):
        if not pending:
            return list(found.values())
        entry = pending.pop()
        document = documents[entry.digest]
        if isinstance(document, Manifest):
            found.setdefault((entry.digest, entry.platform), (entry, document))
        else:
            within = reversed(document.manifests)
            pending += [item._replace(platform=item.platform or entry.platform) for item in within]
    raise Unsupported(f"{client.reference.familiar} is an index of more than {_MAX_ENTRIES} entries")


def _is_image(entry: Descriptor, manifest: Manifest) -> bool:
    """Whether it has layers that a root filesystem is made of."""
    layers = (layer.media_type for layer in manifest.layers)
    return not is_attestation(entry) and media.is_image(manifest.config.media_type, layers)
