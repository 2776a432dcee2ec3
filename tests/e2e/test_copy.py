"""copy, ls and referrers as a user calls them, against Debian's docker-registry, skopeo and umoci."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, remote, severalplatforms
from support.cli import Wherry, write_files
from support.ports import until
from support.registry import serve
from support.remote import described, sha256
from wherry.oci import media
from wherry.testing.registry import Fault, Registry, Stall

pytestmark = pytest.mark.needs("docker-registry", "skopeo", "umoci", busybox.PROGRAM)

SEVERAL = severalplatforms.make()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("open")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def skopeo(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(["skopeo", *map(str, words)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def several_layout(folder: Path) -> Path:
    """The index of two platforms as a layout, under the tag v1, and a signature of it beside it."""
    signature = severalplatforms.artifact(SEVERAL.raw, "application/vnd.example.signature", b"signed")
    blobs = [*SEVERAL.blobs.values(), *SEVERAL.manifests.values(), SEVERAL.raw, signature]
    blobs += [b"signed", severalplatforms.EMPTY]
    entries = [
        described(SEVERAL.raw, media.INDEX) | {"annotations": {"org.opencontainers.image.ref.name": "v1"}},
        described(signature, media.MANIFEST) | {"artifactType": "application/vnd.example.signature"},
    ]
    files: dict[str, str | bytes] = {f"blobs/sha256/{sha256(blob)[7:]}": blob for blob in blobs}
    files["oci-layout"] = '{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries})
    return write_files(folder, files)


def test_what_a_user_sees(wherry: Wherry, host: str, here: Path) -> None:
    name = f"{host}/seen/box"
    busybox.put(wherry.root, "box:v1")
    out = wherry.ok("copy", "store:box:v1", name)
    head, layer, last = out.splitlines()
    assert head == f"Copying store:box:v1 to {name}:latest"
    assert layer.endswith(": Copied")
    digest = last.removeprefix("Digest: ")
    again = wherry.ok("copy", "store:box:v1", f"{name}:again")
    assert again.splitlines()[1:] == [layer.replace("Copied", "Already exists"), last]
    assert wherry.ok("copy", "-q", f"{name}:again", "oci:box:v1", cwd=here) == f"{digest}\n"
    assert wherry.ok("ls", name) == "again\nlatest\n"
    assert sha256(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}").encode()) == digest


def test_what_wherry_wrote_is_read_by_skopeo_and_umoci(wherry: Wherry, host: str, here: Path) -> None:
    image_id = busybox.put(wherry.root, "box:v1")
    digest = wherry.ok("copy", "-q", "store:box:v1", "oci:layout:v1", cwd=here).strip()
    wherry.ok("copy", "oci:layout:v1", "oci-archive:oci.tar:v1", cwd=here)
    wherry.ok("copy", "oci:layout:v1", "docker-archive:docker.tar:team/box:v2", cwd=here)
    for place in ("oci:layout:v1", "oci-archive:oci.tar:v1"):
        assert sha256(skopeo("inspect", "--raw", place, cwd=here).encode()) == digest
    assert json.loads(skopeo("list-tags", "docker-archive:docker.tar", cwd=here))["Tags"] == ["team/box:v2"]
    skopeo("copy", "docker-archive:docker.tar:team/box:v2", "dir:docker", cwd=here)
    assert json.loads((here / "docker/manifest.json").read_text())["config"]["digest"] == image_id
    unpack = ["umoci", "unpack", "--rootless", "--image", "layout:v1", "bundle"]
    subprocess.run(unpack, check=True, capture_output=True, cwd=here)
    assert (here / "bundle/rootfs/data/seed").read_text() == "from the image\n"


@pytest.mark.parametrize(
    "place", ["oci:layout:v1", "oci-archive:a.tar:v1", "docker-archive:a.tar:team/box:v1"]
)
def test_what_skopeo_wrote_is_copied(wherry: Wherry, host: str, here: Path, place: str) -> None:
    image_id = busybox.put(wherry.root, f"{host}/own/box:v1")
    wherry.ok("push", f"{host}/own/box:v1")
    skopeo("copy", "--src-tls-verify=false", f"docker://{host}/own/box:v1", place, cwd=here)
    name = f"{host}/skopeos/{place.partition(':')[0]}"
    digest = wherry.ok("copy", "-q", place, name, cwd=here).strip()
    assert json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))["config"][
        "digest"
    ] == str(image_id)
    if place.startswith("oci"):
        assert digest == sha256(skopeo("inspect", "--raw", place, cwd=here).encode())


def test_an_index_reaches_a_registry_byte_for_byte(wherry: Wherry, host: str, here: Path) -> None:
    several_layout(here / "layout")
    name = f"{host}/several/app:v1"
    assert wherry.ok("copy", "-q", "oci:layout", name, cwd=here) == f"{SEVERAL.digest}\n"
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert raw.encode() == SEVERAL.raw
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", "oci:skopeos:v1", cwd=here)
    assert wherry.ok("copy", "-q", "--platform", "linux/arm64", name, "oci:arm:v1", cwd=here) == (
        f"{SEVERAL.arm64.digest}\n"
    )
    assert wherry.ok("copy", "-q", name, "docker-archive:a.tar:app", cwd=here) == f"{SEVERAL.amd64.digest}\n"
    # An image alone is copied whatever it is for.
    assert wherry.ok("copy", "-q", "oci:arm:v1", "docker-archive:c.tar:app", cwd=here) == (
        f"{SEVERAL.arm64.digest}\n"
    )
    refused = wherry("copy", "--all", name, "docker-archive:b.tar:app", cwd=here)
    assert (refused.code, "of one platform alone" in refused.err) == (1, True)
    assert not (here / "b.tar").exists()


def test_signatures_reach_a_registry_without_an_api_for_them(wherry: Wherry, host: str, here: Path) -> None:
    several_layout(here / "layout")
    name = f"{host}/signed/app"
    wherry.ok("copy", "oci:layout", f"{name}:v1", cwd=here)
    assert wherry.ok("referrers", "-q", f"{name}:v1") == ""
    wherry.ok("copy", "--referrers", "oci:layout", f"{name}:v1", cwd=here)
    (row,) = map(json.loads, wherry.ok("referrers", "--format", "json", f"{name}:v1").splitlines())
    assert row["ArtifactType"] == "application/vnd.example.signature"
    assert wherry.ok("ls", name).splitlines() == [f"sha256-{SEVERAL.digest[7:]}", "v1"]
    wherry.ok("copy", "--referrers", f"{name}:v1", "oci:back:v1", cwd=here)
    blobs = here / "back/blobs/sha256"
    assert (blobs / row["Digest"][7:]).exists()
    assert (blobs / sha256(b"signed")[7:]).read_bytes() == b"signed"


def test_archives_through_pipes(wherry: Wherry, host: str, here: Path) -> None:
    several_layout(here / "layout")
    command = [*wherry.command, "copy", "oci:layout", "oci-archive:-:v1"]
    done = subprocess.run(command, capture_output=True, cwd=here, env=wherry.environment, check=True)
    assert b"Copying oci:layout to oci-archive:-:v1" in done.stderr
    name = f"{host}/piped/app:v1"
    assert wherry.ok("copy", "-q", "oci-archive:-:v1", name, stdin=done.stdout) == f"{SEVERAL.digest}\n"
    broken = wherry("copy", "oci-archive:-:v1", name, stdin=done.stdout[: len(done.stdout) // 2])
    assert (broken.code, "oci-archive:-:v1 is no image archive, or a damaged one" in broken.err) == (1, True)


def test_a_name_alone_is_in_a_registry(wherry: Wherry, here: Path) -> None:
    name = "127.0.0.1:1/box:v1"
    assert "hint: check the name" in wherry("copy", name, "oci:x:v1", cwd=here).err
    busybox.put(wherry.root, name)
    found = wherry("copy", name, "oci:x:v1", cwd=here)
    assert f"hint: if you mean the image in the store, write store:{name}" in found.err
    assert "hint: check the name" in found.err
    assert list(here.iterdir()) == []
    (here / "127.0.0.1:1/box").mkdir(parents=True)
    found = wherry("copy", "127.0.0.1:1/box", "oci:x", cwd=here)
    assert "hint: if you mean what is at this path, write oci:127.0.0.1:1/box" in found.err


def test_a_hint_is_for_the_source_alone(wherry: Wherry, host: str, here: Path) -> None:
    name = f"{host}/hinted/box:v1"
    busybox.put(wherry.root, name)
    wherry.ok("push", name)
    assert "store:" not in wherry("copy", name, "127.0.0.1:1/box:v1", cwd=here).err


def test_interrupted(wherry: Wherry, here: Path) -> None:
    """Ctrl-C in the middle of a blob: nothing is at the target, and nothing beside it."""
    image = remote.make({"big": os.urandom(2_000_000)})
    with Registry() as registry:
        remote.publish(registry, "app:v1", image)
        registry.faults.append(Fault("GET", sha256(image.layers[0]), Stall(1_000_000, 60)))
        for target in ("oci:new:v1", "oci-archive:new.tar"):
            process = wherry.start("copy", f"{registry.host}/app:v1", target, cwd=here)
            until(lambda: bool(registry.asked("GET", sha256(image.layers[0]))))
            time.sleep(0.2)  # for what is sent to come
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (130, b"interrupted\n")
            assert list(here.iterdir()) == []
            registry.log.clear()
            registry.faults[0].times = 1


def test_a_second_platform_in_the_store(wherry: Wherry, host: str, here: Path) -> None:
    several_layout(here / "layout")
    wherry.ok("copy", "oci:layout", "store:app:v1", cwd=here)
    arm64 = remote.make({"bin": b"arm64" * 1000}, {"shared": b"s" * 10_000}, architecture="arm64")
    assert arm64.id == SEVERAL.arm64.id
    name = f"{host}/stored/app:v1"
    assert wherry.ok("copy", "-q", "store:app:v1", name) == f"{SEVERAL.digest}\n"
    assert wherry.ok("copy", "-q", "--platform", "linux/arm64", "store:app:v1", name) == f"{arm64.digest}\n"


def test_copies_at_once_into_one_new_layout(wherry: Wherry, host: str, here: Path) -> None:
    several_layout(here / "layout")
    tags = [f"v{number}" for number in range(6)]
    running = [wherry.start("copy", "-q", "oci:layout", f"oci:new:{tag}", cwd=here) for tag in tags]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert wherry.ok("ls", "oci:new", cwd=here).split() == tags
    for tag in tags:
        assert sha256(skopeo("inspect", "--raw", f"oci:new:{tag}", cwd=here).encode()) == SEVERAL.digest
    assert sorted(path.name for path in here.iterdir()) == ["layout", "new"]


@pytest.mark.needs("root", "newuidmap")
def test_an_ordinary_user_copies(ordinary_wherry: Wherry, host: str) -> None:
    home = ordinary_wherry.root.parent
    several_layout(home / "layout")
    place = f"oci:{home}/layout:v1"
    ordinary_wherry.ok("copy", place, "store:app:v1")
    assert (
        ordinary_wherry.ok("copy", "-q", "store:app:v1", f"{host}/ordinary/app:v1") == f"{SEVERAL.digest}\n"
    )
    ordinary_wherry.ok("copy", "store:app:v1", f"oci:{home}/new:v1")
    assert (home / "new").stat().st_uid == home.stat().st_uid
    assert ordinary_wherry.ok("ls", f"oci:{home}/new") == "v1\n"
