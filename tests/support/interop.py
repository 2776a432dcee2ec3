"""A registry by bare HTTP, and a storage of podman's and buildah's own to pull to and to push from."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

from support import folders
from support.readers import run
from wherry.oci import media

_MANIFESTS = ", ".join((*media.MANIFESTS, *media.INDEXES))


class Podman:
    """podman and buildah with a storage of their own in `folder`, whose name must be short; root's."""

    def __init__(self, folder: str) -> None:
        places = ("--root", f"{folder}/storage", "--runroot", f"{folder}/run")
        self._options = (*places, "--storage-driver", "vfs")

    def podman(self, *words: str | Path) -> str:
        return run("podman", *self._options, *words)

    def buildah(self, *words: str | Path) -> str:
        return run("buildah", *self._options, *words)


@contextmanager
def podman() -> Iterator[Podman]:
    with TemporaryDirectory(prefix="p", dir=folders.fast()) as folder:
        yield Podman(folder)


class Fetched(NamedTuple):
    body: bytes
    media_type: str


def fetch(name: str, kind: str = "manifests", reference: str = "", accept: str = _MANIFESTS) -> Fetched:
    """GET of `host/repository:tag`, or of what `reference` says in that repository."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")
    request = Request(f"http://{host}/v2/{repository}/{kind}/{reference or tag}", headers={"Accept": accept})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return Fetched(answer.read(), answer.headers["Content-Type"])


def tars(name: str, architecture: str = "amd64") -> list[bytes]:
    """An image's layers, unpacked, by the standard library and zstd alone; digests and sizes are checked."""
    document = json.loads(fetch(name).body)
    if "manifests" in document:
        entries = {item["platform"]["architecture"]: item for item in document["manifests"]}
        document = json.loads(_checked(name, "manifests", entries[architecture]))
    config = json.loads(_checked(name, "blobs", document["config"]))
    assert config["architecture"] == architecture
    found = [_unpacked(_checked(name, "blobs", layer), layer["mediaType"]) for layer in document["layers"]]
    assert [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in found] == config["rootfs"]["diff_ids"]
    return found


def _checked(name: str, kind: str, descriptor: dict[str, Any]) -> bytes:
    data = fetch(name, kind, descriptor["digest"], f"{descriptor['mediaType']}, */*").body
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def _unpacked(data: bytes, media_type: str) -> bytes:
    if media_type.endswith("gzip"):
        return gzip.decompress(data)
    if media_type.endswith("zstd"):
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data
