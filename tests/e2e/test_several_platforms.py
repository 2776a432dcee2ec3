"""One name, images for two machines: pushed, pulled, run and built on; with docker-registry and skopeo."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, foreign, interop, remote
from support.cli import Wherry, write_files
from support.registry import serve
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.store.indexes import Member
from wherry.store.store import Store

pytestmark = [
    pytest.mark.needs("root", "docker-registry", "skopeo", foreign.EMULATOR, busybox.PROGRAM),
    pytest.mark.skipif(os.uname().machine == "aarch64", reason="arm64 is no other machine here"),
]


class Pushed(NamedTuple):
    """`name` at a registry, and the bytes of its index there."""

    name: str
    raw: bytes

    @property
    def digest(self) -> str:
        return remote.sha256(self.raw)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("registry")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


@pytest.fixture
def podman() -> Iterator[interop.Podman]:
    with interop.podman() as opened:
        yield opened


@pytest.fixture(scope="module")
def pushed(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    folder = tmp_path_factory.mktemp("maker")
    maker = Wherry(folder / "store", folder / "docker")
    members = [
        Member(foreign.ARM64, busybox.put(maker.root, "arm", platform=foreign.ARM64)),
        Member(platforms.host(), busybox.put(maker.root, "own")),
    ]
    name = f"{registry}/team/box:v1"
    with Store.open(str(maker.root)) as store:
        index = store.indexes.put(members, {"a": "b"})
        store.images.tag(references.parse(name), members[1].image, index)
    said = maker.ok("push", name)
    found = Pushed(name, raw(name))
    assert said.endswith(f"v1: digest: {found.digest}\n")
    return found


def raw(name: str) -> bytes:
    words = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    return subprocess.run(words, capture_output=True, check=True).stdout


def uname(machine: Wherry, name: str, *flags: str) -> str:
    return machine.ok("run", "--rm", "-q", *flags, name, "uname", "-m").strip()


def test_skopeo_reads_every_platform(pushed: Pushed, tmp_path: Path) -> None:
    """It verifies every digest, and takes all of the index."""
    command = ["skopeo", "copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{pushed.name}", f"dir:{tmp_path}/all"], check=True)
    assert (tmp_path / "all" / "manifest.json").read_bytes() == pushed.raw
    document = json.loads(pushed.raw)
    assert document["annotations"] == {"a": "b"}
    assert [entry["platform"]["architecture"] for entry in document["manifests"]] == [
        "arm64",
        platforms.host().architecture,
    ]


def test_all_platforms_there_and_back(pushed: Pushed, wherry: Wherry, registry: str) -> None:
    said = wherry.ok("pull", "--all-platforms", pushed.name)
    assert f"Digest: {pushed.digest}\n" in said
    assert "Image is up to date" in wherry.ok("pull", "--all-platforms", pushed.name)
    copy = f"{registry}/other/box:v2"
    wherry.ok("tag", pushed.name, copy)
    wherry.ok("prune", "-f")
    assert wherry.ok("push", copy).endswith(f"v2: digest: {pushed.digest}\n")
    assert raw(copy) == pushed.raw
    wherry.ok("push", "--platform", "linux/arm64", copy)
    assert (
        json.loads(raw(copy))["config"]["digest"]
        == wherry.ok("inspect", "--platform", "linux/arm64", "--format", "{{.Id}}", copy).strip()
    )


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_what_skopeo_pushed_goes_out_as_it_came(
    pushed: Pushed, wherry: Wherry, registry: str, form: str
) -> None:
    theirs, ours = f"{registry}/theirs:{form}", f"{registry}/ours:{form}"
    words = ["skopeo", "copy", "-q", "--all", "--format", form, "--src-tls-verify=false"]
    plain = _without_annotations(wherry, pushed.name, f"{registry}/plain:v1")
    subprocess.run([*words, "--dest-tls-verify=false", f"docker://{plain}", f"docker://{theirs}"], check=True)
    wherry.ok("pull", "-q", "--all-platforms", theirs)
    wherry.ok("tag", theirs, ours)
    wherry.ok("push", "-q", ours)
    assert raw(ours) == raw(theirs)
    expected = {"v2s2": media.DOCKER_LIST, "oci": media.INDEX}[form]
    assert json.loads(raw(theirs))["mediaType"] == expected
    assert uname(wherry, theirs, "--platform", "linux/arm64") == "aarch64"


def _without_annotations(wherry: Wherry, name: str, plain: str) -> str:
    """docker's lists have none, and skopeo drops none."""
    wherry.ok("pull", "-q", "--all-platforms", name)
    with Store.open(str(wherry.root)) as store:
        index = store.images.index_of(name)
        assert index
        store.images.tag(references.parse(plain), index.primary, store.indexes.put(index.members))
    wherry.ok("push", "-q", plain)
    return plain


@pytest.mark.needs("podman")
def test_podman_reads_and_writes_such_names(
    pushed: Pushed, wherry: Wherry, registry: str, podman: interop.Podman
) -> None:
    no_tls = "--tls-verify=false"
    image = podman.podman("pull", "-q", no_tls, "--platform", "linux/arm64", pushed.name).split()[-1]
    wherry.ok("pull", "-q", "--all-platforms", pushed.name)
    ours = wherry.ok("inspect", "--platform", "linux/arm64", "--format", "{{.Id}}", pushed.name).strip()
    assert f"sha256:{image}" == ours
    theirs = f"{registry}/podman:v1"
    podman.podman("manifest", "create", "list")
    podman.podman("manifest", "add", "--all", no_tls, "list", f"docker://{pushed.name}")
    podman.podman("manifest", "push", "-q", "--all", no_tls, "list", f"docker://{theirs}")
    said = wherry.ok("pull", "--all-platforms", theirs)
    assert f"Digest: {remote.sha256(raw(theirs))}\n" in said
    assert wherry.ok("inspect", "--platform", "linux/arm64", "--format", "{{.Id}}", theirs).strip() == ours


def test_each_machine_gets_its_own(pushed: Pushed, wherry: Wherry) -> None:
    assert uname(wherry, pushed.name) == os.uname().machine
    assert uname(wherry, pushed.name, "--platform", "linux/arm64") == "aarch64"
    assert uname(wherry, pushed.name) == os.uname().machine, "the other one has come beside it"
    assert uname(wherry, pushed.name, "--pull", "never", "--platform", "linux/arm64") == "aarch64"
    refused = wherry("run", "--rm", "--platform", "linux/s390x", pushed.name, "true")
    assert refused.code == 125
    assert f"{pushed.name} has no image for linux/s390x" in refused.err
    refused = wherry("run", "--rm", "--pull", "never", "--platform", "linux/s390x", pushed.name, "true")
    assert "it is here for: linux/" in refused.err


def test_a_container_starts_again_for_its_machine(pushed: Pushed, wherry: Wherry) -> None:
    wherry.ok("run", "-q", "--platform", "linux/arm64", "--name", "arm", pushed.name, "uname", "-m")
    assert wherry.ok("start", "-a", "arm").strip() == "aarch64"


def test_from_takes_the_one_for_the_platform(pushed: Pushed, wherry: Wherry, tmp_path: Path) -> None:
    write_files(tmp_path / "context", {"Dockerfile": f"FROM {pushed.name}\nRUN uname -m > /machine\n"})
    wherry.ok("pull", "-q", "--all-platforms", pushed.name)
    for name, machine in (("linux/arm64", "aarch64"), (str(platforms.host()), os.uname().machine)):
        wherry.ok("build", "-q", "--platform", name, "-t", "app", tmp_path / "context")
        assert wherry.ok("run", "--rm", "app", "cat", "/machine").strip() == machine
    refused = wherry("build", "--platform", "linux/s390x", tmp_path / "context")
    assert f"{pushed.name} has no image for linux/s390x" in refused.err


def test_from_gets_what_is_missing_beside_what_is_here(
    pushed: Pushed, wherry: Wherry, tmp_path: Path
) -> None:
    write_files(tmp_path / "context", {"Dockerfile": f"FROM {pushed.name}\nCOPY Dockerfile /\n"})
    for name in (str(platforms.host()), "linux/arm64", str(platforms.host())):
        wherry.ok("build", "-q", "--platform", name, tmp_path / "context")
    with Store.open(str(wherry.root)) as store:
        index = store.images.index_of(pushed.name)
        assert index and sorted(index.platforms) == sorted([str(platforms.host()), "linux/arm64"])


@pytest.mark.parametrize(
    ("form", "kind", "layers"),
    [
        ("", media.INDEX, media.LAYER_GZIP),
        (",compression=zstd,annotation-index.a=b,annotation-manifest.c=d", media.INDEX, media.LAYER_ZSTD),
        (",oci-mediatypes=false", media.DOCKER_LIST, media.DOCKER_LAYER_GZIP),
    ],
)
def test_a_build_pushes_all_platforms(
    wherry: Wherry, registry: str, tmp_path: Path, form: str, kind: str, layers: str
) -> None:
    name = f"{registry}/built/app:v{len(form)}"
    write_files(tmp_path / "context", {"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n"})
    write_files(tmp_path / "context", {"amd64": "1", "arm64": "2"})
    words = ["build", "-t", name, "--platform", "linux/amd64,linux/arm64", "-o", f"type=registry{form}"]
    wherry.ok(*words, "--metadata-file", tmp_path / "meta.json", tmp_path / "context")
    pushed = raw(name)
    document = json.loads(pushed)
    assert document["mediaType"] == kind
    assert [entry["platform"]["architecture"] for entry in document["manifests"]] == ["amd64", "arm64"]
    metadata = json.loads((tmp_path / "meta.json").read_text())
    assert metadata["containerimage.digest"] == remote.sha256(pushed)
    assert metadata["containerimage.descriptor"] == remote.described(pushed, kind)
    manifests = [
        json.loads(raw(f"{name.rpartition(':')[0]}@{entry['digest']}")) for entry in document["manifests"]
    ]
    assert {layer["mediaType"] for manifest in manifests for layer in manifest["layers"]} == {layers}
    has_notes = "annotation" in form
    assert document.get("annotations") == ({"a": "b"} if has_notes else None)
    assert all(manifest.get("annotations") == ({"c": "d"} if has_notes else None) for manifest in manifests)
    wherry.ok("prune", "-f")
    assert wherry.ok("push", name).endswith(f"digest: {remote.sha256(pushed)}\n"), "the same once more"


def test_an_image_of_this_store_alone_is_asked_of_no_registry(wherry: Wherry, tmp_path: Path) -> None:
    busybox.put(wherry.root, "own")
    write_files(tmp_path / "context", {"Dockerfile": "FROM own\nCOPY Dockerfile /\n"})
    refused = wherry("build", "--platform", "linux/arm64", tmp_path / "context")
    assert f"the image own in the store is for {platforms.host()}, not for linux/arm64" in refused.err
    refused = wherry("run", "--rm", "--platform", "linux/arm64", "own")
    assert "own has no image for linux/arm64" in refused.err
