"""What refers to a manifest: signatures, SBOMs (distribution-spec 1.1, "Listing Referrers").

A registry that does not know of subjects can keep them all the same: whoever pushes one enters it in an index
under the tag `sha256-<hex>` of the subject ("Referrers Tag Schema").
"""

from __future__ import annotations

from typing import Any

from wherry.base.errors import Corrupt, NotFound
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Index, decode, encode, parse
from wherry.oci.digest import Digest
from wherry.registry.client import Client
from wherry.registry.lists import pages

_UNKNOWN = (400, 404, 405, 406, 501)
"""What registries answer that have no such API: 404 by the specification, the others by experience."""


class Referrer(NamedTuple):
    descriptor: Descriptor
    artifact_type: str


def referrers(client: Client, digest: Digest, artifact_type: str = "") -> list[Referrer]:
    """All manifests whose subject is `digest`, of one type if it is given, in the registry's order."""
    found = _by_api(client, digest, artifact_type)
    if found is None:
        found = _by_tag(client, digest)
    distinct = {referrer.descriptor.digest: referrer for referrer in found}
    return [item for item in distinct.values() if not artifact_type or item.artifact_type == artifact_type]


def put(client: Client, tag_or_digest: str, raw: bytes, media_type: str) -> Digest:
    """As `Client.put_manifest`; what refers to another manifest is found from that one afterwards."""
    taken = client.put(tag_or_digest, raw, media_type)
    subject = subject_of(raw)
    if subject is not None and taken.subject != subject:
        _enter(client, subject, _entry(raw, media_type, taken.digest))
    return taken.digest


def subject_of(raw: bytes) -> Digest | None:
    """The digest of the manifest that the one in `raw` refers to."""
    subject = decode(raw).get("subject")
    if not isinstance(subject, dict) or not isinstance(subject.get("digest"), str):
        return None
    return digests.parse(subject["digest"])


def artifact_type_of(raw: bytes) -> str:
    """The type of what a manifest is of: its own field, else its config's media type; "" for an index."""
    document = decode(raw)
    own, config = document.get("artifactType"), document.get("config")
    kind = own or (config.get("mediaType") if isinstance(config, dict) else "")
    return kind if isinstance(kind, str) else ""


def fallback_tag(digest: Digest) -> str:
    return digest.replace(":", "-", 1)


def entries(raw: bytes, media_type: str) -> list[Referrer]:
    """Those that a document lists."""
    index = parse(raw, media_type or media.INDEX)
    if not isinstance(index, Index):
        raise Corrupt("a list of referrers is not an image index")
    kinds = [item.get("artifactType") for item in decode(raw).get("manifests") or ()]
    return [
        Referrer(descriptor, kind if isinstance(kind, str) else "")
        for descriptor, kind in zip(index.manifests, kinds, strict=True)
    ]


def _by_api(client: Client, digest: Digest, artifact_type: str) -> list[Referrer] | None:
    """None from a registry that has no such API."""
    from urllib.parse import quote

    wanted = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    found: list[Referrer] = []
    for page in pages(client, f"referrers/{digest}{wanted}", media.INDEX, unknown=_UNKNOWN):
        if page is None:
            return None
        found += entries(page, media.INDEX)
    return found


def _by_tag(client: Client, digest: Digest) -> list[Referrer]:
    try:
        document = client.manifest(fallback_tag(digest))
    except NotFound:
        return []
    return entries(document.raw, document.media_type)


def _enter(client: Client, subject: Digest, entry: dict[str, Any]) -> None:
    """Add an entry to the index under the subject's tag, which is made where there is none."""
    tag = fallback_tag(subject)
    try:
        current = client.manifest(tag)
        entries(current.raw, current.media_type)
        document = decode(current.raw)
    except NotFound:
        document = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": []}
    listed: list[dict[str, Any]] = list(document.get("manifests") or ())
    if all(item.get("digest") != entry["digest"] for item in listed):
        document["manifests"] = [*listed, entry]
        client.put_manifest(tag, encode(document), media.INDEX)


def _entry(raw: bytes, media_type: str, digest: Digest) -> dict[str, Any]:
    """The descriptor of a referrer, with its type and its annotations as the specification asks for."""
    document = decode(raw)
    entry: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(raw)}
    if kind := artifact_type_of(raw):
        entry["artifactType"] = kind
    if document.get("annotations"):
        entry["annotations"] = document["annotations"]
    return entry
