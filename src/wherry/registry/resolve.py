"""From a name at a registry to the manifest for a platform, through an index and those within it."""

from __future__ import annotations

from wherry.base.errors import NotFound, Unsupported
from wherry.base.tuples import NamedTuple
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.descriptor import Descriptor, Index, Manifest
from wherry.oci.digest import Digest
from wherry.oci.match import choose, offered
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.registry.client import Client
from wherry.registry.trees import MAX_DEPTH, parsed

_MAX_LOOKED_AT = 100
"""Manifests and indexes that are asked for to find one image."""


class Resolved(NamedTuple):
    """`digest`: of what bears the name; `platform`: what the index says that the manifest is for, None where
    it says nothing or there is no index."""

    digest: Digest
    manifest: Manifest
    platform: Platform | None = None
    in_index: bool = False


def resolve(client: Client, reference: Reference, platform: Platform | None) -> Resolved:
    """What bears the name, and the manifest for the platform."""
    root = read(client, reference.digest or reference.tag)
    if isinstance(root, Manifest):
        return Resolved(root.digest, root)
    wanted = platform or platforms.host()
    seen = list(root.manifests)
    pending = [(entry, 1) for entry in reversed(_candidates(root, wanted))]
    for _ in range(_MAX_LOOKED_AT):
        if not pending:
            break
        entry, depth = pending.pop()
        document = read(client, entry.digest)
        if isinstance(document, Manifest):
            return Resolved(root.digest, document, entry.platform, in_index=True)
        if depth == MAX_DEPTH:
            raise Unsupported(f"{reference.familiar} is an index of indexes, more than {depth} deep")
        seen += document.manifests
        within = reversed(_candidates(document, wanted))
        pending += [(item._replace(platform=item.platform or entry.platform), depth + 1) for item in within]
    raise NotFound(
        f"{reference.familiar} has no image for {wanted}",
        hint=f"it has: {', '.join(offered(seen)) or 'none at all'}",
    )


def _candidates(index: Index, platform: Platform) -> list[Descriptor]:
    """The entry for the platform; where there is none, the indexes within it that name none."""
    found = choose(index.manifests, platform)
    if found and (found.platform or found.media_type not in media.INDEXES):
        return [found]
    return [item for item in index.manifests if not item.platform and item.media_type in media.INDEXES]


def read(client: Client, tag_or_digest: str) -> Manifest | Index:
    document = client.manifest(tag_or_digest)
    return parsed(client.reference, document.raw, document.media_type)
