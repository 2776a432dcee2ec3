"""Small images made apart from wherry's own code: layers, config, manifest as another tool makes them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wherry.oci import media
from wherry.testing.registry import Registry


class Made(NamedTuple):
    """An image's documents and blobs as bytes."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]
    tars: tuple[bytes, ...]

    @property
    def id(self) -> str:
        return sha256(self.config)

    @property
    def digest(self) -> str:
        return sha256(self.manifest)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def make(
    *files: Mapping[str, bytes],
    diff_ids: Sequence[str] | None = None,
    architecture: str = "amd64",
    labels: Mapping[str, str] | None = None,
) -> Made:
    """An image of one gzip layer for each of `files`; `diff_ids` lets its config lie."""
    tars = tuple(map(tar, files))
    layers = tuple(gzip.compress(data, mtime=0) for data in tars)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["sh"], "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids or map(sha256, tars))},
        },
        indent=1,
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "config": described(config, media.CONFIG),
            "layers": [described(layer, media.LAYER_GZIP) for layer in layers],
        },
        indent=3,
    ).encode()
    return Made(manifest, config, layers, tars)


def publish(registry: Registry, name: str, image: Made) -> None:
    """`name` is `repository:tag`."""
    repository, _, tag = name.partition(":")
    for blob in (image.config, *image.layers):
        registry.add_blob(repository, blob)
    registry.add_manifest(repository, tag, image.manifest, media.MANIFEST)


def layout(*entries: tuple[Made, Mapping[str, str]]) -> dict[str, bytes]:
    """The files of an OCI layout: images with the annotations that its index gives them."""
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    manifests = []
    for image, notes in entries:
        for blob in (image.manifest, image.config, *image.layers):
            files[f"blobs/sha256/{sha256(blob)[7:]}"] = blob
        manifests.append(described(image.manifest, media.MANIFEST) | {"annotations": dict(notes)})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    return files


def docker_archive(image: Made, *tags: str) -> dict[str, bytes]:
    """The files of an archive as docker before 25 wrote it: a folder for each layer."""
    names = [f"{sha256(data)[7:]}/layer.tar" for data in image.tars]
    entry = {"Config": f"{image.id[7:]}.json", "RepoTags": list(tags), "Layers": names}
    return {
        f"{image.id[7:]}.json": image.config,
        **dict(zip(names, image.tars, strict=True)),
        "manifest.json": json.dumps([entry]).encode(),
    }
