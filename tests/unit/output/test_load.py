"""`load` of archives that others make, and of archives that nobody should."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from backports import zstd

from support import remote
from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.output.load import Loaded, load, load_folder
from wherry.store.store import Store

IMAGE = remote.make({"etc/a": b"1"}, {"etc/b": b"2" * 5000})


def _load(store: Store, files: Mapping[str, bytes]) -> list[Loaded]:
    return load(store, io.BytesIO(remote.tar(files)))


def _names(loaded: list[Loaded]) -> list[list[str]]:
    return [[name.familiar for name in image.names] for image in loaded]


def _nothing_named(store: Store) -> bool:
    return store.images.all() == [] and store.images.all_names() == []


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd.compress])
@pytest.mark.parametrize(
    "files",
    [
        remote.docker_archive(IMAGE, "app:v1"),
        remote.layout((IMAGE, {"org.opencontainers.image.ref.name": "docker.io/library/app:v1"})),
    ],
    ids=["docker", "oci"],
)
def test_every_kind_in_every_compression(
    store: Store, files: dict[str, bytes], compress: Callable[[bytes], bytes]
) -> None:
    (loaded,) = load(store, io.BytesIO(compress(remote.tar(files))))
    assert loaded.image_id == IMAGE.id
    assert store.images.find("app:v1").id == IMAGE.id


def test_a_layout_keeps_its_manifest_and_blobs(store: Store) -> None:
    (loaded,) = _load(store, remote.layout((IMAGE, {})))
    image = store.images.get(loaded.image_id)
    assert loaded.names == ()
    assert image.manifest == IMAGE.digest
    for diff_id, layer in zip(image.config.diff_ids, IMAGE.layers, strict=True):
        assert [blob.digest for blob in store.layers.blobs_of(diff_id)] == [remote.sha256(layer)]
    assert store.layers.size(image.config.diff_ids[1]) == len(IMAGE.tars[1])


def test_layers_that_are_compressed_or_linked_in_a_docker_archive(store: Store) -> None:
    """Bazel and ko compress them; old dockers and skopeo link a layer to its like."""
    image = remote.make({"a": b"1"}, {"b": b"2"}, {"a": b"1"})
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        add("c.json", image.config)
        add("x/layer.tar", image.tars[0])
        add("y/layer.tar", image.layers[1])
        link = tarfile.TarInfo("z/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../x/layer.tar"
        archive.addfile(link)
        names = ["x/layer.tar", "y/layer.tar", "z/layer.tar"]
        add("manifest.json", json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": names}]).encode())
    (loaded,) = load(store, io.BytesIO(target.getvalue()))
    assert loaded.image_id == image.id
    assert len(store.images.get(loaded.image_id).config.diff_ids) == 3


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        ({"io.containerd.image.name": "docker.io/library/app:v1"}, ["app:v1"]),
        ({"org.opencontainers.image.ref.name": "team/app:v1"}, ["team/app:v1"]),
        ({"org.opencontainers.image.ref.name": "app:v1"}, ["app:v1"]),
        ({"org.opencontainers.image.ref.name": "host:5000/app"}, ["host:5000/app:latest"]),
        ({"org.opencontainers.image.ref.name": "v1"}, []),
        ({}, []),
    ],
)
def test_names_in_layouts(store: Store, annotations: dict[str, str], names: list[str]) -> None:
    assert _names(_load(store, remote.layout((IMAGE, annotations)))) == [names]


def test_two_names_of_one_image(store: Store) -> None:
    files = remote.layout(
        (IMAGE, {"io.containerd.image.name": "a:1"}), (IMAGE, {"io.containerd.image.name": "b:1"})
    )
    assert _names(_load(store, files)) == [["a:1", "b:1"]]


def _with_platforms(*architectures: str, nested: bool) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    entries = []
    for name in architectures:
        image = remote.make({"which": name.encode()}, architecture=name)
        files |= remote.layout((image, {}))
        platform = {"os": "linux", "architecture": name}
        entries.append(remote.described(image.manifest, media.MANIFEST) | {"platform": platform})
    raw = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries}).encode()
    if nested:
        files[f"blobs/sha256/{remote.sha256(raw)[7:]}"] = raw
        entry = remote.described(raw, media.INDEX) | {"annotations": {"io.containerd.image.name": "m:1"}}
        raw = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return files | {"index.json": raw}


@pytest.mark.parametrize("nested", [True, False])
def test_an_image_for_many_machines(store: Store, nested: bool) -> None:
    here = platforms.host().architecture
    files = _with_platforms("s390x", here, nested=nested)
    loaded = _load(store, files)
    if nested:
        assert _names(loaded) == [["m:1"]]
        assert store.images.get(loaded[0].image_id).config.platform.architecture == here
        index = store.images.index_of("m:1")
        assert index is not None
        assert index.platforms == ["linux/s390x", f"linux/{here}"]
        assert index.whole
        assert f"blobs/sha256/{index.id[7:]}" in files, "it can be pushed as it was"
    else:
        assert [store.images.get(image.image_id).config.platform.architecture for image in loaded] == [
            "s390x",
            here,
        ]


@pytest.mark.parametrize("nested", [True, False])
def test_one_of_many_machines(store: Store, nested: bool) -> None:
    files = _with_platforms("s390x", "mips64le", nested=nested)
    (loaded,) = load(store, io.BytesIO(remote.tar(files)), platforms.parse("linux/mips64le"))
    assert store.images.get(loaded.image_id).config.platform.architecture == "mips64le"
    assert len(store.images.all()) == 1
    assert store.images.index_of("m:1") is None
    with pytest.raises(NotFound, match="no image for linux/riscv64") as caught:
        load(store, io.BytesIO(remote.tar(files)), platforms.parse("linux/riscv64"))
    assert caught.value.hint == "it has: linux/mips64le, linux/s390x"


def test_a_docker_archive_of_another_machine(store: Store) -> None:
    data = remote.tar(remote.docker_archive(IMAGE, "app:v1"))
    with pytest.raises(NotFound, match="no image for linux/s390x"):
        load(store, io.BytesIO(data), platforms.parse("linux/s390x"))
    assert _nothing_named(store)
    (loaded,) = load(store, io.BytesIO(data), platforms.parse("linux/amd64"))
    assert loaded.image_id == IMAGE.id


def test_an_index_of_which_a_part_was_saved(store: Store) -> None:
    """As docker does with one image of an index: the others' blobs are not in the archive."""
    files = _with_platforms("s390x", "mips64le", "riscv64", nested=True)
    missing = remote.make({"which": b"mips64le"}, architecture="mips64le")
    del files[f"blobs/sha256/{missing.digest[7:]}"]
    (loaded,) = _load(store, files)
    assert store.images.get(loaded.image_id).config.platform.architecture == "s390x"
    index = store.images.index_of("m:1")
    assert index is not None
    assert index.platforms == ["linux/s390x", "linux/riscv64"]
    assert not index.whole
    for name in ("s390x", "riscv64"):
        files.pop(f"blobs/sha256/{remote.make({'which': name.encode()}, architecture=name).digest[7:]}")
    with pytest.raises(NotFound, match="none of the images") as caught:
        _load(store, files)
    assert "linux/mips64le" in caught.value.hint


@pytest.mark.parametrize(
    "files",
    [
        remote.docker_archive(IMAGE, "app:v1"),
        remote.layout((IMAGE, {"org.opencontainers.image.ref.name": "docker.io/library/app:v1"})),
    ],
    ids=["docker", "oci"],
)
def test_a_folder(store: Store, tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "layout"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "blobs" / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(folder / "blobs" / "pipe")
    (folder / "elsewhere").symlink_to("/etc/passwd")
    before = sorted(folder.rglob("*"))
    assert _names(load_folder(store, str(folder))) == [["app:v1"]]
    assert sorted(folder.rglob("*")) == before, "nothing is taken away"
    assert store.images.find("app:v1").id == IMAGE.id
    listing = folder / ("index.json" if "index.json" in files else "manifest.json")
    listing.unlink()
    listing.symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="not an image archive"):
        load_folder(store, str(folder))


LAYERS = tuple(character * 64 for character in "abc")


def _legacy(**changes: bytes | None) -> dict[str, bytes]:
    """As docker 1.9 wrote it: three layers, of which the second has no files."""
    files: dict[str, bytes] = {}
    for number, (layer, tar) in enumerate(
        zip(LAYERS, (*IMAGE.tars[:1], remote.tar({}), IMAGE.tars[1]), strict=True)
    ):
        document = {
            "id": layer,
            **({"parent": LAYERS[number - 1]} if number else {}),
            "created": f"2015-01-0{number + 1}T00:00:00Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", f"step {number}"]},
            "config": {"Cmd": ["sh"], "Env": ["A=b"]} if number == 2 else None,
            "author": "me",
            "architecture": "amd64",
            "os": "linux",
            "Size": 7,
        }
        files[f"{layer}/VERSION"] = b"1.0"
        files[f"{layer}/json"] = json.dumps(document).encode()
        files[f"{layer}/layer.tar"] = tar
    files["repositories"] = json.dumps(
        {"busybox": {"latest": LAYERS[2]}, "a/b": {"1": LAYERS[1], "2": LAYERS[2]}}
    ).encode()
    for name, content in changes.items():
        name = name.replace("__", "/")
        if content is None:
            del files[name]
        else:
            files[name] = content
    return files


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_archive_from_before_2016(store: Store, compress: Callable[[bytes], bytes]) -> None:
    files = _legacy()
    files[f"{LAYERS[0]}/layer.tar"] = compress(files[f"{LAYERS[0]}/layer.tar"])
    loaded = _load(store, files)
    assert _names(loaded) == [["busybox:latest", "a/b:2"], ["a/b:1"]]
    image = store.images.find("busybox")
    diff_ids = [remote.sha256(tar) for tar in (IMAGE.tars[0], remote.tar({}), IMAGE.tars[1])]
    assert list(image.config.diff_ids) == diff_ids
    assert image.config.execution.cmd == ("sh",)
    assert image.config.execution.env == ("A=b",)
    assert (image.config.author, image.config.created) == ("me", "2015-01-03T00:00:00Z")
    assert [item.created_by for item in image.config.history] == [f"/bin/sh -c step {n}" for n in range(3)]
    raw = json.loads(store.blobs.read(image.id))
    assert "id" not in raw
    assert "parent" not in raw
    assert raw["container_config"] == {"Cmd": ["/bin/sh", "-c", "step 2"]}
    assert list(store.images.find("a/b:1").config.diff_ids) == diff_ids[:2]
    assert _load(store, files) == loaded, "the same archive is the same image"


def test_an_old_archive_without_names(store: Store) -> None:
    (loaded,) = _load(store, _legacy(repositories=None))
    assert loaded.names == ()
    assert len(store.images.get(loaded.image_id).config.diff_ids) == 3


def _described(**changes: object) -> bytes:
    return json.dumps({"id": LAYERS[0], "os": "linux", **changes}).encode()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (_legacy(**{f"{LAYERS[0]}__json": _described(parent=LAYERS[2])}), "more than 1000 layers"),
        (_legacy(**{f"{LAYERS[0]}__json": _described(parent="x")}), "no layer 'x'"),
        (_legacy(**{f"{LAYERS[0]}__json": _described(parent=["x"])}), "no layer"),
        (_legacy(**{f"{LAYERS[0]}__json": None}), "no layer"),
        (_legacy(**{f"{LAYERS[0]}__json": b"[]"}), "not a JSON object"),
        (_legacy(**{f"{LAYERS[1]}__layer.tar": None}), "no '" + LAYERS[1]),
        (_legacy(**{f"{LAYERS[2]}__json": _described(parent=LAYERS[1], config=[1])}), "not an image config"),
        (_legacy(**{f"{LAYERS[2]}__json": _described(container_config={"Cmd": "x"})}), "command"),
        (_legacy(**{f"{LAYERS[0]}__layer.tar": b"junk" * 200}), "tar"),
        (_legacy(repositories=b"[]"), "repositories"),
        (_legacy(repositories=b'{"a": 1}'), "repositories"),
        (_legacy(repositories=b'{"a": {"b": 1}}'), "repositories"),
        (_legacy(repositories=b'{"a": {"b": "../../etc"}}'), "no layer"),
        (_legacy(repositories=b'{"A": {"b": "' + LAYERS[2].encode() + b'"}}'), "names an image wrongly"),
        (_legacy(repositories=b'{"a": {"b": ""}}'), "no layer ''"),
        (_legacy(repositories=b"{"), "not JSON"),
        ({"repositories": b"{}"}, "no image"),
    ],
)
def test_old_archives_that_cannot_be(store: Store, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(WherryError, match=message):
        _load(store, files)
    assert _nothing_named(store)


def _docker(**changes: object) -> dict[str, bytes]:
    """A docker archive whose manifest.json has been changed."""
    files = remote.docker_archive(IMAGE, "app:v1")
    (entry,) = json.loads(files["manifest.json"])
    return files | {"manifest.json": json.dumps([entry | changes]).encode()}


def _layout(**changes: bytes) -> dict[str, bytes]:
    """A layout with other files in the place of its index, manifest, config or second layer."""
    names = {"manifest": IMAGE.digest, "config": IMAGE.id, "layer": remote.sha256(IMAGE.layers[1])}
    files = remote.layout((IMAGE, {"io.containerd.image.name": "app:v1"}))
    for what, content in changes.items():
        files["index.json" if what == "index" else f"blobs/sha256/{names[what][7:]}"] = content
    return files


def _without(files: dict[str, bytes], part: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if part not in name}


LIAR = remote.make({"a": b"1"}, diff_ids=["sha256:" + "0" * 64])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither manifest.json nor index.json"),
        ({"repositories": b"{}"}, "no image: it describes no layer"),
        ({"manifest.json": b"{"}, "not JSON"),
        ({"manifest.json": b"{}"}, "not a list"),
        ({"manifest.json": b"[1]"}, "without a config"),
        ({"manifest.json": b" " * (17 << 20)}, "bytes: at most"),
        (_docker(Config="gone.json"), "no 'gone.json'"),
        (_docker(Layers=["gone.tar"]), "no 'gone.tar'"),
        (_docker(Layers=["manifest.json", "manifest.json"]), "tar archive|another digest"),
        (_docker(Layers="x"), "not a list of strings"),
        (_docker(Layers=[]), "0 layers for an image whose config names 2"),
        (_docker(RepoTags=["UPPER"]), "names an image wrongly"),
        (_docker(RepoTags=["a@sha256:" + "0" * 64]), "by digest"),
        (_docker(Config="../../etc/passwd"), "the archive has no"),
        (remote.docker_archive(LIAR, "app:v1"), "another digest"),
        (
            remote.docker_archive(IMAGE, "app:v1") | {f"{IMAGE.id[7:]}.json": b"{}"},
            "other content than its name",
        ),
        (remote.layout((LIAR, {})), "another digest"),
        (_without(remote.layout((IMAGE, {})), IMAGE.digest[7:]), "the archive has no"),
        (_without(remote.layout((IMAGE, {})), remote.sha256(IMAGE.layers[0])[7:]), "the archive has no"),
        (_layout(layer=b"other"), "other content than its name"),
        (_layout(config=IMAGE.config + b" "), "other content than its name"),
        (_layout(manifest=b"{}"), "other content than its name"),
        (_layout(index=b"[]"), "not a JSON object"),
        (_layout(index=b'{"manifests": [{"digest": "sha256:../x", "size": 1}]}'), "not a sha256 digest"),
        (_layout(index=b'{"manifests": [5]}'), "descriptor"),
    ],
)
def test_wrong_archives(store: Store, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(WherryError, match=message):
        _load(store, files)
    assert _nothing_named(store)


def test_an_index_that_multiplies(store: Store) -> None:
    files = remote.layout((IMAGE, {}))
    entry = remote.described(IMAGE.manifest, media.MANIFEST)
    for _ in range(2):
        index = json.dumps({"schemaVersion": 2, "manifests": [entry] * 40}).encode()
        entry = remote.described(index, media.INDEX)
        files[f"blobs/sha256/{entry['digest'][7:]}"] = index
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with pytest.raises(Unsupported, match="an index with more than 1000 images"):
        _load(store, files)
    assert _nothing_named(store)


@pytest.mark.parametrize("part", ["config", "layer"])
def test_a_wrong_size_in_a_manifest(store: Store, part: str) -> None:
    manifest = json.loads(IMAGE.manifest)
    (manifest["config"] if part == "config" else manifest["layers"][0])["size"] += 1
    lying = IMAGE._replace(manifest=json.dumps(manifest).encode())
    with pytest.raises(Corrupt, match="the archive gives a wrong size"):
        _load(store, remote.layout((lying, {})))
    assert _nothing_named(store)


def test_a_wrong_size_in_the_index(store: Store) -> None:
    files = remote.layout((IMAGE, {}))
    index = json.loads(files["index.json"])
    index["manifests"][0]["size"] += 1
    with pytest.raises(Corrupt, match="wrong size"):
        _load(store, files | {"index.json": json.dumps(index).encode()})


def test_a_fault_in_the_last_image_names_none(store: Store) -> None:
    good = {"io.containerd.image.name": "good:1"}
    with pytest.raises(Corrupt):
        _load(store, remote.layout((IMAGE, good), (LIAR, {"io.containerd.image.name": "bad:1"})))
    assert _nothing_named(store)


def test_an_artifact_is_no_image(store: Store) -> None:
    manifest = json.loads(IMAGE.manifest)
    manifest["config"]["mediaType"] = "application/vnd.example+json"
    made = IMAGE._replace(manifest=json.dumps(manifest).encode())
    with pytest.raises(Unsupported, match="not a container image"):
        _load(store, remote.layout((made, {})))


@pytest.mark.parametrize(
    ("name", "kind", "target", "message"),
    [
        ("../evil", tarfile.REGTYPE, "", r"'\.\.'"),
        ("c.json", tarfile.SYMTYPE, "/etc/passwd", "leads out of it"),
        ("c.json", tarfile.SYMTYPE, "../../etc/passwd", "leads out of it"),
        ("c.json", tarfile.LNKTYPE, "../../etc/passwd", r"'\.\.'"),
        ("c.json", tarfile.SYMTYPE, "c.json", "lead nowhere"),
        ("c.json", tarfile.SYMTYPE, "gone.json", "the archive has no"),
        ("c.json", tarfile.FIFOTYPE, "", "no devices"),
        ("c.json", tarfile.DIRTYPE, "", "the archive has no"),
    ],
)
def test_members_that_are_no_plain_files(
    store: Store, name: str, kind: bytes, target: str, message: str
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
        raw = b'[{"Config": "c.json", "Layers": []}]'
        listed = tarfile.TarInfo("manifest.json")
        listed.size = len(raw)
        archive.addfile(listed, io.BytesIO(raw))
    with pytest.raises(Corrupt, match=message):
        load(store, io.BytesIO(stream.getvalue()))
    assert _nothing_named(store)


@pytest.mark.parametrize(
    "stream",
    [
        b"hello, this is no tar at all" * 100,
        gzip.compress(b"neither is this" * 100),
        remote.tar(remote.docker_archive(IMAGE))[:-9000],
        gzip.compress(remote.tar(remote.docker_archive(IMAGE)))[:-20],
    ],
    ids=["text", "gzip of text", "cut off", "gzip cut off"],
)
def test_streams_that_are_no_archive(store: Store, stream: bytes) -> None:
    with pytest.raises(Corrupt, match="not an image archive"):
        load(store, io.BytesIO(stream))
    assert _nothing_named(store)
