"""Base images for tests: made once a machine by `wherry bootstrap`, kept in the cache, served by a registry.

    <cache>/<key>/layouts/<name>/    OCI layouts, one image each
    <cache>/<key>/registry/          docker-registry's own storage, filled with them

The key is the digest of wherry's bootstrap code and of the table here: whoever changes either gets new bases.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import wherry.bootstrap
from support import folders
from support.registry import serve
from wherry.bootstrap.make import bootstrap
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, make_manifest
from wherry.oci.digest import Digest, hex_of
from wherry.store.images import Image
from wherry.store.store import Store

# The name in the registry, and what it is made from: the suite is named, so that every machine has the same.
BASES = {
    "busybox:latest": "busybox:bookworm",
    "debian:bookworm-slim": "debian:bookworm-slim",
    "nginx:latest": "nginx:slim-bookworm",
    "node:18-slim": "node:18-slim-bookworm",
    "python:3.11-slim": "python:3.11-slim-bookworm",
}

_STALE = 14 * 24 * 3600
"""Seconds after which bases of another key are deleted."""


def folder() -> Path:
    """The bases of this version, made first where they are missing. Any number of processes may ask."""
    place = Path(folders.cache(), _key())
    with _locked(f"{place}.lock"):
        if not place.is_dir():
            _delete_stale(place.parent)
            _make(place)
    os.utime(place)
    return place


def seed(store: Store, name: str) -> Image:
    """Put a base into a store without a registry, under its own name."""
    layout = folder() / "layouts" / _file_name(name)
    descriptor = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest = json.loads(_blob(layout, descriptor["digest"]))
    config = _blob(layout, manifest["config"]["digest"])
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    for diff_id, layer in zip(diff_ids, manifest["layers"], strict=True):
        store.blobs.put(_blob(layout, layer["digest"]))
        store.layers.add_blob(
            Digest(diff_id), Descriptor(layer["mediaType"], Digest(layer["digest"]), layer["size"])
        )
    image_id = store.images.put(config)
    store.images.tag(references.parse(name), image_id)
    return store.images.get(image_id)


@contextmanager
def served(scratch: Path) -> Iterator[str]:
    """A registry that has the bases and takes more: its storage is a copy in `scratch`."""
    storage = scratch / "registry"
    shutil.copytree(folder() / "registry", storage)
    with serve(str(storage), str(scratch)) as address:
        yield address


def _key() -> str:
    digest = hashlib.sha256(json.dumps(BASES).encode())
    for path in sorted(Path(wherry.bootstrap.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _delete_stale(cache: Path) -> None:
    for old in cache.iterdir():
        if old.is_dir() and time.time() - old.stat().st_mtime > _STALE:
            shutil.rmtree(old)


def _make(place: Path) -> None:
    scratch = Path(f"{place}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    os.environ.setdefault("TMPDIR", folders.fast())  # mmdebstrap writes a whole system there
    with Store.open(str(scratch / "store")) as store, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: _make_one(store, name, scratch / "layouts"), BASES))
    shutil.rmtree(scratch / "store")
    with serve(str(scratch / "registry"), str(scratch)) as address:
        for name in BASES:
            _copy(scratch / "layouts" / _file_name(name), f"{address}/{name}")
    scratch.rename(place)


def _make_one(store: Store, name: str, layouts: Path) -> None:
    image = bootstrap(store, BASES[name], tags=[name])
    layers = tuple(Layers(store).compressed(diff_id) for diff_id in image.config.diff_ids)
    config = Descriptor(media.CONFIG, image.id, store.blobs.size(image.id))
    manifest = make_manifest(config, layers)
    layout = layouts / _file_name(name)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in (config, *layers):
        shutil.copyfile(store.blobs.path(blob.digest), blobs / hex_of(blob.digest))
    digest = hashlib.sha256(manifest.raw).hexdigest()
    (blobs / digest).write_bytes(manifest.raw)
    entry = {"mediaType": media.MANIFEST, "digest": f"sha256:{digest}", "size": len(manifest.raw)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _copy(layout: Path, target: str) -> None:
    """By skopeo, so that the tests' ground does not depend on the push that they test."""
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{target}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def _file_name(name: str) -> str:
    return name.replace(":", "-")
