"""Indexes made apart from wherry's own code, as buildx and others push them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from support import remote
from support.remote import Made
from wherry.oci import media
from wherry.testing.registry import Registry

ATTESTATION = {"architecture": "unknown", "os": "unknown"}


def platform(text: str) -> dict[str, Any]:
    system, architecture, *variant = text.split("/")
    return {"architecture": architecture, "os": system, **({"variant": variant[0]} if variant else {})}


def entry(
    raw: bytes, of: Mapping[str, Any] | None, kind: str = media.MANIFEST, **notes: str
) -> dict[str, Any]:
    """An entry of an index for the document `raw`, for the platform `of`."""
    return {
        **remote.described(raw, kind),
        **({"platform": dict(of)} if of else {}),
        **({"annotations": notes} if notes else {}),
    }


def index(entries: Sequence[dict[str, Any]], kind: str = media.INDEX, **more: Any) -> bytes:
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": list(entries), **more}
    return json.dumps(document, indent=2).encode()


def attestation(subject: Made) -> tuple[Made, dict[str, Any]]:
    """What buildx puts beside an image: in-toto statements in a manifest of no platform; and its entry."""
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": subject.digest}).encode()
    config = json.dumps(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [remote.sha256(statement)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "config": remote.described(config, media.CONFIG),
            "layers": [remote.described(statement, "application/vnd.in-toto+json")],
        }
    ).encode()
    notes = {
        "vnd.docker.reference.digest": subject.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return Made(manifest, config, (statement,), ()), entry(manifest, ATTESTATION, **notes)


def publish(registry: Registry, name: str, raw: bytes, images: Sequence[Made], *within: bytes) -> str:
    """`name` is `repository:tag`; `within` are indexes in the index `raw`; its digest."""
    repository, _, tag = name.partition(":")
    for image in images:
        remote.publish(registry, f"{repository}:{image.digest}", image)
    for document in within:
        registry.add_manifest(repository, remote.sha256(document), document, media.INDEX)
    kind = json.loads(raw).get("mediaType", media.INDEX)
    return registry.add_manifest(repository, tag, raw, kind)
