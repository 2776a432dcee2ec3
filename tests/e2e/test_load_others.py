"""`load` of what podman, buildah, skopeo and umoci write, in every form that they have."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import folders
from support.cli import Wherry, write_files
from support.readers import run
from support.trees import Node, tree
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "podman", "buildah", "skopeo", "umoci")

FILES: dict[str, str | bytes] = {
    "Dockerfile": "FROM scratch\nCOPY --chown=7:8 a /a\nCOPY d /d\nENV A=b\n",
    "a": "one\n",
    "d/b": b"line\n" * 100_000,
}


@pytest.fixture(scope="module")
def scratch() -> Iterator[str]:
    """Podman takes no long path."""
    path = tempfile.mkdtemp(prefix="l", dir=folders.fast())
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that all of them are given."""
    folder = tmp_path_factory.mktemp("made")
    wherry = Wherry(folder / "wherry", folder / "docker")
    context = write_files(folder / "context", FILES)
    wherry.ok("build", "-t", "localhost/app:v1", "-o", f"type=oci,dest={folder}/a.tar", context)
    return folder / "a.tar"


@pytest.fixture(scope="module")
def podman(scratch: str, archive: Path) -> list[str]:
    command = ["podman", "--root", f"{scratch}/p", "--runroot", f"{scratch}/q", "--storage-driver", "vfs"]
    run(*command, "load", "-q", "-i", archive)
    return command


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Node]:
    folder = tmp_path_factory.mktemp("expected")
    run("tar", "-C", folder, "-xf", archive)
    with Store.open(str(folder / "store")) as store:
        from wherry.output.load import load

        with open(archive, "rb") as file:
            load(store, file)
        return tree(store, "localhost/app:v1")


def _check(wherry: Wherry, expected: dict[str, Node], name: str = "localhost/app:v1") -> None:
    with Store.open(str(wherry.root)) as store:
        assert tree(store, name) == expected
        assert "A=b" in store.images.find(name).config.execution.env


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir", "docker-dir"])
def test_what_podman_saves(
    wherry: Wherry, podman: list[str], expected: dict[str, Node], tmp_path: Path, form: str
) -> None:
    out = tmp_path / "saved"
    run(*podman, "save", "-q", "--format", form, "-o", out, "localhost/app:v1")
    done = wherry("load", "-i", out)
    if form == "docker-dir":
        assert done.code == 1
        assert "neither manifest.json nor index.json" in done.err or "manifest.json is not a list" in done.err
        return
    assert done.code == 0, done.err
    image = done.out.split()[-1]
    _check(wherry, expected, image if image.startswith("sha256:") else "localhost/app:v1")
    assert image == "localhost/app:v1" or form == "oci-dir"


@pytest.mark.parametrize("packer", ["gzip", "zstd", "bzip2", "xz"])
def test_compressed_from_standard_input(
    wherry: Wherry, podman: list[str], expected: dict[str, Node], tmp_path: Path, packer: str
) -> None:
    run(*podman, "save", "-q", "-o", tmp_path / "a.tar", "localhost/app:v1")
    data = subprocess.run([packer, "-c", tmp_path / "a.tar"], capture_output=True, check=True).stdout
    assert wherry.ok("load", stdin=data) == "Loaded image: localhost/app:v1\n"
    _check(wherry, expected)


def test_several_images_of_podman(wherry: Wherry, podman: list[str], archive: Path, tmp_path: Path) -> None:
    run(*podman, "tag", "localhost/app:v1", "localhost/other:v2")
    run(*podman, "save", "-q", "-m", "-o", tmp_path / "a.tar", "localhost/app:v1", "localhost/other:v2")
    assert sorted(wherry.ok("load", "-i", tmp_path / "a.tar").splitlines()) == [
        "Loaded image: localhost/app:v1",
        "Loaded image: localhost/other:v2",
    ]


@pytest.mark.parametrize(
    "target",
    ["docker-archive:{}:localhost/app:v1", "oci-archive:{}:localhost/app:v1", "oci:{}:localhost/app:v1"],
)
def test_what_skopeo_copies(
    wherry: Wherry, archive: Path, expected: dict[str, Node], tmp_path: Path, target: str
) -> None:
    run("skopeo", "copy", "-q", f"oci-archive:{archive}", target.format(tmp_path / "out"))
    assert wherry.ok("load", "-i", tmp_path / "out") == "Loaded image: localhost/app:v1\n"
    _check(wherry, expected)


def test_what_umoci_changed(wherry: Wherry, archive: Path, tmp_path: Path) -> None:
    run("skopeo", "copy", "-q", f"oci-archive:{archive}", f"oci:{tmp_path}/layout:v1")
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    (tmp_path / "bundle" / "rootfs" / "new").write_text("new")
    os.unlink(tmp_path / "bundle" / "rootfs" / "a")
    run("umoci", "repack", "--image", f"{tmp_path}/layout:v2", tmp_path / "bundle")
    loaded = wherry.ok("load", "-i", tmp_path / "layout").split()
    with Store.open(str(wherry.root)) as store:
        trees = [set(tree(store, word)) for word in loaded if word.startswith("sha256:")]
    assert {"a", "d", "d/b"} in trees
    assert {"new", "d", "d/b"} in trees


def test_a_list_of_buildah(wherry: Wherry, scratch: str, tmp_path: Path) -> None:
    """Several platforms in one archive, and one of them."""
    buildah = ["buildah", "--root", f"{scratch}/b", "--runroot", f"{scratch}/c", "--storage-driver", "vfs"]
    run(*buildah, "manifest", "create", "many")
    for architecture in ("amd64", "arm64"):
        context = write_files(
            tmp_path / architecture, {"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": architecture}
        )
        run(*buildah, "bud", "-q", "--platform", f"linux/{architecture}", "--manifest", "many", context)
    run(
        *buildah, "manifest", "push", "-q", "--all", "many", f"oci-archive:{tmp_path}/a.tar:localhost/many:v1"
    )
    assert wherry.ok("load", "-i", tmp_path / "a.tar") == "Loaded image: localhost/many:v1\n"
    with Store.open(str(wherry.root)) as store:
        index = store.images.index_of("localhost/many:v1")
        assert index is not None
        assert sorted(index.platforms) == ["linux/amd64", "linux/arm64"]
        for member in index.members:
            assert tree(store, member.image)["f"].content == member.platform.architecture
    second = Wherry(tmp_path / "second", tmp_path / "docker")
    second.ok("load", "--platform", "linux/arm64", "-i", tmp_path / "a.tar")
    assert second.ok("inspect", "-f", "{{.Architecture}}", "localhost/many:v1") == "arm64\n"
    # and back: what wherry saves of it, skopeo takes whole
    wherry.ok("save", "-o", tmp_path / "b.tar", "localhost/many:v1")
    run("skopeo", "copy", "-q", "--all", f"oci-archive:{tmp_path}/b.tar", f"oci:{tmp_path}/back:v1")
    third = Wherry(tmp_path / "third", tmp_path / "docker")
    third.ok("load", "-i", tmp_path / "back")
