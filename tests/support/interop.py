"""Other programs that read images from a registry: each gives the tree that it has made of one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

from support import folders
from wherry.oci import media

_MANIFESTS = ", ".join((*media.MANIFESTS, *media.INDEXES))


class Node(NamedTuple):
    """A file, folder or link: its kind and mode, its owner, and its content's digest or its target."""

    mode: str
    uid: int
    gid: int
    content: str


Tree = dict[str, Node]


def of_folder(root: Path) -> Tree:
    found = {}
    for folder, below, names in os.walk(root):
        for name in (*below, *names):
            path = os.path.join(folder, name)
            status, content = os.lstat(path), ""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            node = Node(stat.filemode(status.st_mode), status.st_uid, status.st_gid, content)
            found[os.path.relpath(path, root)] = node
    return found


def of_layers(tars: list[bytes]) -> Tree:
    """By the standard library's own tar; layers that delete nothing."""
    found = {}
    for data in tars:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = member.linkname
                if file := archive.extractfile(member) if member.isreg() else None:
                    content = hashlib.sha256(file.read()).hexdigest()
                mode = stat.filemode(_KINDS[member.type] | (0o777 if member.issym() else member.mode))
                found[member.name] = Node(mode, member.uid, member.gid, content)
    return found


_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
}


class Podman:
    """podman and buildah with a storage of their own in `folder`, whose name must be short; root's."""

    def __init__(self, folder: Path) -> None:
        places = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
        self._options = [*places, "--storage-driver", "vfs"]

    def podman(self, *words: str | Path) -> str:
        return run("podman", *self._options, *words)

    def buildah(self, *words: str | Path) -> str:
        return run("buildah", *self._options, *words)

    @contextmanager
    def mounted(self, name: str, *options: str) -> Iterator[Path]:
        self.podman("pull", "--quiet", "--tls-verify=false", *options, name)
        try:
            yield Path(self.podman("image", "mount", name).strip())
        finally:
            self.podman("image", "unmount", name)

    @contextmanager
    def working(self, name: str) -> Iterator[str]:
        """A container of buildah's."""
        container = self.buildah("from", "--quiet", "--tls-verify=false", name).strip()
        try:
            yield container
        finally:
            self.buildah("rm", container)


@contextmanager
def podman() -> Iterator[Podman]:
    """With an empty storage. Its folder's name has at most 50 characters: podman asks for that."""
    with TemporaryDirectory(prefix="podman-", dir=folders.fast()) as folder:
        yield Podman(Path(folder))


def run(program: str, *words: str | Path) -> str:
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program} {' '.join(map(str, words))}\n{done.stderr}"
    return done.stdout


def by_podman(name: str, scratch: Path) -> Tree:
    del scratch
    with podman() as storage, storage.mounted(name) as root:
        return of_folder(root)


def by_buildah(name: str, scratch: Path) -> Tree:
    del scratch
    with podman() as storage, storage.working(name) as container:
        return of_folder(Path(storage.buildah("mount", container).strip()))


def by_umoci(name: str, scratch: Path) -> Tree:
    """From a layout that skopeo made."""
    scratch.mkdir()
    layout = f"oci:{scratch}/layout:v1"
    run("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}", layout)
    run("umoci", "unpack", "--image", f"{scratch}/layout:v1", scratch / "bundle")
    return of_folder(scratch / "bundle" / "rootfs")


def by_http(name: str, scratch: Path) -> Tree:
    """With nothing but the standard library: every digest and every size is checked."""
    del scratch
    document = json.loads(fetch(name, _MANIFESTS).body)
    if "manifests" in document:
        chosen = next(item for item in document["manifests"] if item["platform"]["architecture"] == "amd64")
        document = json.loads(_checked(name, "manifests", chosen))
    config = json.loads(_checked(name, "blobs", document["config"]))
    tars = [_unpacked(_checked(name, "blobs", layer), layer["mediaType"]) for layer in document["layers"]]
    assert [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars] == config["rootfs"]["diff_ids"]
    return of_layers(tars)


READERS: dict[str, Callable[[str, Path], Tree]] = {
    "podman": by_podman,
    "buildah": by_buildah,
    "umoci": by_umoci,
    "http": by_http,
}


class Fetched(NamedTuple):
    body: bytes
    media_type: str


def fetch(name: str, accept: str = _MANIFESTS, kind: str = "manifests", reference: str = "") -> Fetched:
    """GET of `host/repository:tag`, or of what `reference` says in that repository."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")
    request = Request(f"http://{host}/v2/{repository}/{kind}/{reference or tag}", headers={"Accept": accept})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return Fetched(answer.read(), answer.headers["Content-Type"])


def _checked(name: str, kind: str, descriptor: dict[str, Any]) -> bytes:
    data = fetch(name, f"{descriptor['mediaType']}, */*", kind, descriptor["digest"]).body
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def _unpacked(data: bytes, media_type: str) -> bytes:
    if media_type.endswith("gzip"):
        return gzip.decompress(data)
    if media_type.endswith("zstd"):
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data
