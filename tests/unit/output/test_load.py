"""`load` of archives that others make, and of archives that nobody should."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping

import pytest
from backports import zstd

from support import remote
from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.output.load import Loaded, load
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
    (loaded,) = _load(store, _with_platforms("s390x", here, nested=nested))
    assert store.images.get(loaded.image_id).config.platform.architecture == here
    with pytest.raises(NotFound, match="no image for") as caught:
        _load(store, _with_platforms("s390x", "mips64le", nested=nested))
    assert caught.value.hint == "it has: linux/mips64le, linux/s390x"


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
        ({"repositories": b"{}"}, "before version 1.10"),
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
