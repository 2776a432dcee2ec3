"""`save`, read again by `load` and by eyes that know only the formats."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from support import busybox, remote
from wherry.base.errors import NotFound
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.digest import Digest
from wherry.output.archive import Chosen, choose, save
from wherry.output.load import load
from wherry.store.indexes import Member
from wherry.store.store import Store

pytestmark = pytest.mark.needs(busybox.PROGRAM)


def _image(store: Store, *names: str, layers: tuple[bytes, ...] = (b"one", b"two")) -> Digest:
    added = [
        Layers(store).add_stream(io.BytesIO(remote.tar({"file": data})), extract=False) for data in layers
    ]
    config = ImageConfig(platforms.host(), Execution(cmd=("sh",)), tuple(layer.diff_id for layer in added))
    image_id = store.images.put(config.encode())
    for name in names:
        store.images.tag(references.parse(name), image_id)
    return image_id


def _saved(store: Store, *words: str) -> bytes:
    sink = io.BytesIO()
    save(store, choose(store, words), sink)
    return sink.getvalue()


def _files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        members = [member for member in opened if member.isfile()]
        return {member.name: opened.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def test_one_archive_of_two_kinds(store: Store) -> None:
    image_id = _image(store, "app:v1", "localhost:5000/team/app:v2")
    files = _files(_saved(store, "app:v1", "localhost:5000/team/app:v2"))
    (listed,) = json.loads(files["manifest.json"])
    assert listed["RepoTags"] == ["app:v1", "localhost:5000/team/app:v2"]
    assert files[listed["Config"]] == store.blobs.read(image_id)
    diff_ids = json.loads(files[listed["Config"]])["rootfs"]["diff_ids"]
    assert [remote.sha256(files[name]) for name in listed["Layers"]] == diff_ids
    index = json.loads(files["index.json"])
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == [
        "docker.io/library/app:v1",
        "localhost:5000/team/app:v2",
    ]
    manifest = files["blobs/sha256/" + index["manifests"][0]["digest"][7:]]
    assert [layer["digest"] for layer in json.loads(manifest)["layers"]] == diff_ids
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert remote.sha256(content) == "sha256:" + name.removeprefix("blobs/sha256/")


def test_the_same_bytes_each_time(store: Store) -> None:
    _image(store, "app:v1")
    assert _saved(store, "app:v1") == _saved(store, "app:v1")


def test_shared_blobs_are_there_once(store: Store) -> None:
    _image(store, "a:1", layers=(b"shared", b"one"))
    _image(store, "b:1", layers=(b"shared", b"shared", b"two"))
    with tarfile.open(fileobj=io.BytesIO(_saved(store, "a:1", "b:1"))) as opened:
        names = opened.getnames()
    assert len(names) == len(set(names))


def test_words_of_save(store: Store) -> None:
    image_id = _image(store, "app:v1", "app:v2", "other:v1")
    newer = _image(store, "app:v3", layers=(b"new",))

    def chosen(*words: str) -> list[tuple[Digest, list[str]]]:
        found = [(item.image.id, [name.familiar for name in item.names]) for item in choose(store, words)]
        return sorted(found, key=lambda item: item[0] == newer)

    assert chosen("app:v2") == [(image_id, ["app:v2"])]
    assert chosen("app") == [(image_id, ["app:v1", "app:v2"]), (newer, ["app:v3"])]
    assert chosen(image_id[7:19]) == [(image_id, [])]
    assert chosen("app:v1", "other:v1", image_id) == [(image_id, ["app:v1", "other:v1"])]
    with pytest.raises(NotFound, match="nope"):
        choose(store, ["app:v1", "nope"])


def test_load_gives_back_what_was_saved(store: Store, tmp_path: object) -> None:
    image_id = busybox.put(store.root, "box:v1")
    other = _image(store, "app:v1", "app:v2")
    archive = _saved(store, "box:v1", "app")
    with Store.open(f"{tmp_path}/second") as second:
        loaded = load(second, io.BytesIO(archive))
        assert [(item.image_id, [name.familiar for name in item.names]) for item in loaded] == [
            (image_id, ["box:v1"]),
            (other, ["app:v1", "app:v2"]),
        ]
        assert _saved(second, "box:v1", "app") == archive
        assert [item.image_id for item in load(second, io.BytesIO(archive))] == [image_id, other]


def test_an_image_without_layers_and_without_names(store: Store) -> None:
    image_id = _image(store, layers=())
    sink = io.BytesIO()
    save(store, [Chosen(store.images.get(image_id))], sink)
    (listed,) = json.loads(_files(sink.getvalue())["manifest.json"])
    assert listed["RepoTags"] is None
    (loaded,) = load(store, io.BytesIO(sink.getvalue()))
    assert loaded == (image_id, ())


def _several(store: Store, name: str) -> tuple[Digest, Digest]:
    """An image for this machine and one for another under a name."""
    here, there = _image(store), _image(store, layers=(b"one", b"other"))
    config = store.images.get(there).config
    there = store.images.put(config._replace(platform=platforms.parse("linux/s390x")).encode())
    members = [
        Member(platforms.parse("linux/s390x"), there, None, (("a", "b"),), (("c", "d"),)),
        Member(platforms.host(), here),
    ]
    index_id = store.indexes.put(members, (("of", "index"),))
    store.images.tag(references.parse(name), here, index_id)
    return here, there


def test_all_platforms_of_a_name(store: Store, tmp_path: object) -> None:
    here, there = _several(store, "app:v1")
    archive = _saved(store, "app:v1")
    files = _files(archive)
    (listed,) = json.loads(files["manifest.json"])
    assert listed["Config"] == f"blobs/sha256/{here[7:]}", "docker gets the image for this machine"
    (entry,) = json.loads(files["index.json"])["manifests"]
    index = json.loads(files[f"blobs/sha256/{entry['digest'][7:]}"])
    assert index["annotations"] == {"of": "index"}
    assert index["manifests"][0]["platform"] == {"architecture": "s390x", "os": "linux"}
    assert index["manifests"][0]["annotations"] == {"c": "d"}
    manifest = json.loads(files[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    assert manifest["annotations"] == {"a": "b"}
    with Store.open(f"{tmp_path}/second") as second:
        (loaded,) = load(second, io.BytesIO(archive))
        assert loaded.image_id == here
        assert second.images.find("app:v1", platforms.parse("linux/s390x")).id == there
        assert _saved(second, "app:v1") == archive


def test_one_platform_of_a_name(store: Store, tmp_path: object) -> None:
    here, there = _several(store, "app:v1")
    for text, image_id in (("linux/s390x", there), (str(platforms.host()), here)):
        (chosen,) = choose(store, ["app:v1"], platforms.parse(text))
        assert (chosen.image.id, chosen.several) == (image_id, None)
        assert [name.familiar for name in chosen.names] == ["app:v1"]
    with pytest.raises(NotFound, match="no image for linux/riscv64"):
        choose(store, ["app:v1"], platforms.parse("linux/riscv64"))
    assert [item.image.id for item in choose(store, [there])] == [there]
