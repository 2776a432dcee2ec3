"""An index as buildx pushes it: images of two platforms, each with an attestation, and artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from support import remote
from support.remote import Made, described, sha256
from wherry.oci import media
from wherry.testing.registry import Registry

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"


class Several(NamedTuple):
    """`raw`: the index. `blobs` and `manifests` by their digests; `amd64` and `arm64` are the images."""

    raw: bytes
    amd64: Made
    arm64: Made
    manifests: dict[str, bytes]
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return sha256(self.raw)


def make() -> Several:
    amd64, arm64 = (
        remote.make({"bin": name.encode() * 1000}, {"shared": b"s" * 10_000}, architecture=name)
        for name in ("amd64", "arm64")
    )
    entries: list[dict[str, Any]] = []
    manifests: dict[str, bytes] = {}
    blobs: dict[str, bytes] = {}
    for image, architecture in ((amd64, "amd64"), (arm64, "arm64")):
        platform = {"architecture": architecture, "os": "linux"}
        entries.append(described(image.manifest, media.MANIFEST) | {"platform": platform})
        manifests[image.digest] = image.manifest
        blobs |= {sha256(blob): blob for blob in (image.config, *image.layers)}
    for image in (amd64, arm64):
        statement = json.dumps({"subject": image.digest}).encode()
        config = json.dumps(
            {
                "architecture": "unknown",
                "os": "unknown",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [sha256(statement)]},
            }
        ).encode()
        attestation = manifest(described(config, media.CONFIG), [described(statement, IN_TOTO)])
        notes = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        }
        unknown = {"architecture": "unknown", "os": "unknown"}
        entries.append(described(attestation, media.MANIFEST) | {"annotations": notes, "platform": unknown})
        manifests[sha256(attestation)] = attestation
        blobs |= {sha256(blob): blob for blob in (config, statement)}
    return Several(index(entries), amd64, arm64, manifests, blobs)


def manifest(config: Mapping[str, Any], layers: list[dict[str, Any]], **more: Any) -> bytes:
    document = {"schemaVersion": 2, "mediaType": media.MANIFEST, "config": config, "layers": layers, **more}
    return json.dumps(document, indent=2).encode()


def index(entries: list[dict[str, Any]], **more: Any) -> bytes:
    """With white space that a copy has to keep."""
    document = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries, **more}
    return json.dumps(document, indent=3).encode() + b"\n"


def artifact(subject: bytes, kind: str, content: bytes) -> bytes:
    """The manifest of something that refers to the manifest `subject`, with one blob, `content`."""
    return manifest(
        described(EMPTY, EMPTY_TYPE),
        [described(content, "application/octet-stream")],
        artifactType=kind,
        subject=described(subject, media.MANIFEST),
    )


def publish(registry: Registry, name: str, several: Several) -> None:
    """`name` is `repository:tag`."""
    repository, _, tag = name.partition(":")
    for blob in several.blobs.values():
        registry.add_blob(repository, blob)
    for raw in several.manifests.values():
        registry.add_manifest(repository, sha256(raw), raw, media.MANIFEST)
    registry.add_manifest(repository, tag, several.raw, media.INDEX)


def attach(registry: Registry, repository: str, subject: bytes, kind: str, content: bytes) -> str:
    """Put an artifact about `subject` into a registry that knows of subjects; its digest."""
    raw = artifact(subject, kind, content)
    for blob in (EMPTY, content):
        registry.add_blob(repository, blob)
    return registry.add_manifest(repository, sha256(raw), raw, media.MANIFEST)
