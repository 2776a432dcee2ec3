"""One image out of an OCI layout that is a folder: which one, and nothing believed of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support import remote
from support.cli import write_files
from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.oci import media
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.output import layoutimage
from wherry.output.layoutimage import Place, place
from wherry.store.images import Image
from wherry.store.store import Store

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
ONE, TWO = remote.make({"a": b"1"}), remote.make({"a": b"1"}, {"b": b"2"})
ARM = remote.make({"a": b"arm"}, architecture="arm64")
REF = "org.opencontainers.image.ref.name"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "layout", remote.layout((ONE, {REF: "one"}), (TWO, {REF: "x/app:latest"})))


def got(store: Store, folder: Path, tag: str = "", digest: str = "", platform: Platform = AMD64) -> Image:
    return layoutimage.image(store, Place(str(folder), tag, digest), platform)


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["manifests"]
    return found


def test_by_tag_by_digest_and_the_latest(store: Store, folder: Path) -> None:
    assert got(store, folder, "one").id == ONE.id
    assert got(store, folder, "x/app:latest").id == TWO.id
    assert got(store, folder).id == TWO.id
    assert got(store, folder, digest=ONE.digest).id == ONE.id
    assert store.images.all_names() == []
    with pytest.raises(NotFound, match="no image 'two'") as caught:
        got(store, folder, "two")
    assert caught.value.hint == "it has: one, x/app:latest"


def test_its_layers_are_in_the_store(store: Store, folder: Path) -> None:
    from support.trees import tree

    assert {path: node.content for path, node in tree(store, got(store, folder).id).items()} == {
        "a": "1",
        "b": "2",
    }


def test_what_the_store_has_is_not_read(store: Store, folder: Path) -> None:
    got(store, folder)
    for layer in TWO.layers:
        (folder / "blobs" / "sha256" / remote.sha256(layer)[7:]).unlink()
    assert got(store, folder).id == TWO.id


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_wrong_size_of_a_layer(store: Store, tmp_path: Path, wrong: int) -> None:
    """It would be in the manifest of every image that is pushed with that layer."""
    manifest = json.loads(ONE.manifest)
    manifest["layers"][0]["size"] += wrong
    lying = ONE._replace(manifest=json.dumps(manifest).encode())
    with pytest.raises(Corrupt):
        got(store, write_files(tmp_path / "l", remote.layout((lying, {REF: "v1"}))))
    assert store.layers.blobs_of(Digest(json.loads(ONE.config)["rootfs"]["diff_ids"][0])) == []


def test_an_image_alone_needs_no_tag(store: Store, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "l", remote.layout((ONE, {REF: "v1"})))
    assert got(store, folder).id == ONE.id
    with pytest.raises(NotFound, match="no image 'latest'"):
        got(store, folder, "latest")


def test_the_image_for_the_platform(store: Store, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "l", remote.layout((ONE, {REF: "v"}), (ARM, {REF: "v"})))
    platforms = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]
    listed = [entry | {"platform": item} for entry, item in zip(entries(folder), platforms, strict=True)]
    edit(folder, manifests=listed)
    assert got(store, folder, "v").id == ONE.id
    assert got(store, folder, "v", platform=ARM64).id == ARM.id
    with pytest.raises(NotFound, match="no image for linux/s390x") as caught:
        got(store, folder, "v", platform=Platform("linux", "s390x"))
    assert caught.value.hint == "it has: linux/amd64, linux/arm64"
    # An index of its own, as skopeo --all and buildah write it.
    index = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": listed}).encode()
    write_files(folder, {f"blobs/sha256/{remote.sha256(index)[7:]}": index})
    edit(folder, manifests=[remote.described(index, media.INDEX) | {"annotations": {REF: "all"}}])
    assert got(store, folder, "all", platform=ARM64).id == ARM.id


def test_the_config_alone(store: Store, folder: Path) -> None:
    found = layoutimage.config(Place(str(folder), "one"), AMD64)
    assert found.execution.cmd == ("sh",)
    assert store.images.all() == []


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_content_that_is_not_what_its_name_says(store: Store, folder: Path, part: str) -> None:
    data = {"manifest": ONE.manifest, "config": ONE.config, "layer": ONE.layers[0]}[part]
    path = folder / "blobs" / "sha256" / remote.sha256(data)[7:]
    for content in (data + b" ", data[:-1], b""):
        path.write_bytes(content)
        with pytest.raises(Corrupt, match="other content than its name says"):
            got(store, folder, "one")
    path.unlink()
    with pytest.raises(Corrupt, match="which it speaks of"):
        got(store, folder, "one")
    assert store.images.all() == []


def test_a_config_that_lies_about_its_layers(store: Store, tmp_path: Path) -> None:
    liar = remote.make({"a": b"evil"}, diff_ids=[remote.sha256(ONE.tars[0])])
    folder = write_files(tmp_path / "l", remote.layout((liar, {})))
    with pytest.raises(Corrupt):
        got(store, folder)
    fewer = remote.make({"a": b"1"}, {"b": b"2"}, diff_ids=[remote.sha256(ONE.tars[0])])
    folder = write_files(tmp_path / "m", remote.layout((fewer, {})))
    with pytest.raises(Corrupt, match="2 layers, the config names 1"):
        got(store, folder)


def test_a_pipe_or_a_folder_in_the_place_of_a_file(store: Store, folder: Path) -> None:
    (folder / "index.json").unlink()
    os.mkfifo(folder / "index.json")
    with pytest.raises(Corrupt, match="is not a file"):
        got(store, folder)
    (folder / "index.json").unlink()
    (folder / "index.json").mkdir()
    with pytest.raises(WherryError, match="is not a file"):
        got(store, folder)
    (folder / "index.json").rmdir()
    with pytest.raises(NotFound, match="no OCI layout"):
        got(store, folder)


def test_what_is_no_image(store: Store, folder: Path) -> None:
    chart = json.loads(ONE.manifest)
    chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    made = ONE._replace(manifest=json.dumps(chart).encode())
    write_files(folder, remote.layout((made, {})))
    with pytest.raises(Unsupported, match="not a container image"):
        got(store, folder)


def test_indexes_without_end(store: Store, folder: Path) -> None:
    document = ONE.manifest
    kind = media.MANIFEST
    for _ in range(5):
        entry = remote.described(document, kind) | {"platform": {"os": "linux", "architecture": "amd64"}}
        document = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [entry]}).encode()
        kind = media.INDEX
        write_files(folder, {f"blobs/sha256/{remote.sha256(document)[7:]}": document})
    edit(folder, manifests=[remote.described(document, kind)])
    with pytest.raises(Unsupported, match="an index of indexes"):
        got(store, folder)


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("l", "a:b", "a:b/l"):
        Path(name).mkdir()
    assert place("l") == Place("l")
    assert place("l:v1") == Place("l", "v1")
    assert place("l:docker.io/x/y:v1") == Place("l", "docker.io/x/y:v1")
    assert place("l@sha256:1") == Place("l", "", "sha256:1")
    assert place("l:v1@sha256:1") == Place("l", "v1", "sha256:1")
    assert place("a:b") == Place("a:b")
    assert place("a:b:c") == Place("a:b", "c")
    assert place(f"{tmp_path}/a:b/l:v") == Place(f"{tmp_path}/a:b/l", "v")
    with pytest.raises(NotFound, match="no folder 'nope'"):
        place("nope:v1")
