"""Copying: every place to every place, byte for byte, and nothing half done at the target."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from support import remote, severalplatforms
from support.remote import described, sha256
from wherry.base.errors import Corrupt, NotFound, Unsupported, UsageError, WherryError
from wherry.base.events import Event, Note, Transfer
from wherry.base.locks import locked
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform
from wherry.registry.transport import Retries
from wherry.store.gc import Scope, collect
from wherry.store.store import Store
from wherry.testing.registry import Change, Drop, Fault, Registry
from wherry.transfer import places, trees
from wherry.transfer.copy import copy
from wherry.transfer.opening import Opening, default_platforms

SEVERAL = severalplatforms.make()
IMAGE = SEVERAL.amd64
AMD64, ARM64 = platforms.parse("linux/amd64"), platforms.parse("linux/arm64")
QUICK = Retries(attempts=3, first=0.001)
SIGNATURE = "application/vnd.example.signature"

Copy = Callable[..., str]


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        severalplatforms.publish(registry, "from/app:all", SEVERAL)
        remote.publish(registry, "from/app:one", IMAGE)
        yield registry


@pytest.fixture
def run(server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Copy from a place to another: `HOST` is the registry, paths are beneath a folder of the test's."""
    monkeypatch.setenv("WHERRY_ROOT", str(tmp_path / "store"))
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")

    def copied(
        source: str, target: str, *chosen: Platform, referrers: bool = False, emit: object = None
    ) -> str:
        one, other = (places.parse(text.replace("HOST", server.host)) for text in (source, target))
        with Opening(retries=QUICK) as opening:
            origin = opening.source(one)
            goal = opening.target(other, one)
            if emit is None:
                return copy(origin, goal, chosen, referrers)
            return copy(origin, goal, chosen, referrers, emit)  # type: ignore[arg-type]

    return copied


def _blobs(place: str, server: Registry) -> set[str]:
    """All blobs and manifests of a repository or a layout."""
    if place.startswith("HOST/"):
        repository = place.removeprefix("HOST/").partition(":")[0]
        names = {digest for name, digest in [*server.blobs, *server.manifests] if name == repository}
        return {name for name in names if name.startswith("sha256:")}
    return {f"sha256:{name}" for name in os.listdir(f"{place.split(':')[1]}/blobs/sha256")}


ALL = {SEVERAL.digest, *SEVERAL.manifests, *SEVERAL.blobs}
ALONE = {IMAGE.digest, IMAGE.id, *map(sha256, IMAGE.layers)}

PLACES = ["HOST/to/app:x", "oci:layout:x", "oci-archive:a.tar:x", "store:app:x"]


@pytest.mark.parametrize("last", ["HOST/end/app:x", "oci:end:x"])
@pytest.mark.parametrize("middle", PLACES)
@pytest.mark.parametrize("what", ["all", "one"])
def test_every_place_gives_what_it_took(
    run: Copy, server: Registry, middle: str, last: str, what: str
) -> None:
    digest, blobs = (SEVERAL.digest, ALL) if what == "all" else (IMAGE.digest, ALONE)
    assert run(f"HOST/from/app:{what}", middle) == digest
    assert run(middle, last) == digest
    assert _blobs(last, server) == blobs
    if last.startswith("HOST"):
        raw = SEVERAL.raw if what == "all" else IMAGE.manifest
        media_type = media.INDEX if what == "all" else media.MANIFEST
        assert server.manifests["end/app", "x"] == (media_type, raw)


def test_a_docker_archive_keeps_the_config(run: Copy, server: Registry, tmp_path: Path) -> None:
    run("HOST/from/app:one", "docker-archive:a.tar:team/app:v1")
    for name in ("team/app:v1", "docker.io/team/app:v1"):
        assert run(f"docker-archive:a.tar:{name}", "HOST/to/app:x")
    assert json.loads(server.manifests["to/app", "x"][1])["config"]["digest"] == IMAGE.id
    assert _blobs("HOST/to/app", server) >= {IMAGE.id, *map(sha256, IMAGE.layers)}
    with pytest.raises(NotFound, match=r"a\.tar has no image 'team/app:v2'") as caught:
        run("docker-archive:a.tar:team/app:v2", "HOST/to/app:x")
    assert caught.value.hint == "it has: team/app:v1"
    assert os.listdir(tmp_path / "files") == ["a.tar"]


def test_layers_of_a_docker_archive_are_compressed(run: Copy, server: Registry, tmp_path: Path) -> None:
    files = remote.docker_archive(IMAGE, "app:v1")
    (tmp_path / "files" / "d.tar").write_bytes(remote.tar(files))
    run("docker-archive:d.tar", "HOST/to/app:x")
    document = json.loads(server.manifests["to/app", "x"][1])
    assert [layer["mediaType"] for layer in document["layers"]] == [media.LAYER_GZIP] * 2
    assert run("HOST/to/app:x", "store:app")
    with Store.open() as store:
        assert store.images.find("app").id == IMAGE.id
        assert not os.listdir(store.path("tmp"))


@pytest.mark.parametrize("broken", ["layer.tar", "config", "json"])
def test_a_docker_archive_that_lies_is_refused(run: Copy, tmp_path: Path, broken: str) -> None:
    files = remote.docker_archive(IMAGE, "app:v1")
    for name in files:
        if name.endswith("layer.tar") and broken == "layer.tar":
            files[name] = remote.tar({"other": b"1"})
    if broken == "config":
        del files[f"{IMAGE.id[7:]}.json"]
    if broken == "json":
        files["manifest.json"] = b'[{"Config": 7}]'
    (tmp_path / "files" / "d.tar").write_bytes(remote.tar(files))
    with pytest.raises(Corrupt):
        run("docker-archive:d.tar", "oci:layout:x")
    assert os.listdir(tmp_path / "files") == ["d.tar"]


def test_compressed_archives_are_read(run: Copy, server: Registry, tmp_path: Path) -> None:
    import gzip

    run("HOST/from/app:all", "oci-archive:a.tar:x")
    (tmp_path / "files" / "b.tgz").write_bytes(gzip.compress((tmp_path / "files" / "a.tar").read_bytes()))
    assert run("oci-archive:b.tgz:x", "HOST/to/app:x") == SEVERAL.digest
    assert _blobs("HOST/to/app", server) == ALL


def test_what_is_there_is_not_sent_again(run: Copy, server: Registry) -> None:
    run("HOST/from/app:all", "oci:layout:x")
    run("oci:layout:x", "HOST/to/app:x")
    server.log.clear()
    run("oci:layout:x", "HOST/to/app:y")
    assert not server.asked("POST", "/blobs/uploads/")
    assert not server.asked("HEAD", "/blobs/")
    assert len(server.asked("PUT", "/manifests/")) == 1
    assert server.manifests["to/app", "y"] == server.manifests["to/app", "x"]


def test_blobs_are_mounted_within_a_registry(run: Copy, server: Registry) -> None:
    run("HOST/from/app:all", "HOST/to/app:x")
    assert _blobs("HOST/to/app", server) == ALL
    assert not server.asked("GET", "/blobs/")
    assert not server.asked("PUT", "/blobs/")
    assert len(server.asked("POST", "from=from/app")) == len(SEVERAL.blobs)


def test_blobs_go_straight_from_registry_to_registry(run: Copy, server: Registry, tmp_path: Path) -> None:
    with Registry() as other:
        run("HOST/from/app:all", f"{other.host}/to/app:x")
        assert {digest for _, digest in other.blobs} == set(SEVERAL.blobs)
        assert other.log[-1].method == "PUT"
        assert other.log[-1].path.endswith("/manifests/x")
    assert not os.path.exists(tmp_path / "store")


@pytest.mark.parametrize("target", ["HOST/to/app:x", "oci:layout:x", "store:app:x"])
def test_one_platform_gives_its_image(run: Copy, server: Registry, target: str) -> None:
    assert run("HOST/from/app:all", target, ARM64) == SEVERAL.arm64.digest
    if target.startswith("HOST"):
        assert server.manifests["to/app", "x"][1] == SEVERAL.arm64.manifest
    if not target.startswith("store"):
        arm64 = SEVERAL.arm64
        assert _blobs(target, server) == {arm64.digest, arm64.id, *map(sha256, arm64.layers)}


def test_several_platforms_give_an_index_of_them(run: Copy, server: Registry) -> None:
    third = platforms.parse("linux/386")
    other = remote.make({"a": b"386"}, architecture="386")
    entries = json.loads(SEVERAL.raw)["manifests"]
    more = described(other.manifest, media.MANIFEST) | {"platform": {"os": "linux", "architecture": "386"}}
    remote.publish(server, "from/app:386", other)
    index = severalplatforms.index([*entries, more], annotations={"a": "b"})
    server.add_manifest("from/app", "three", index, media.INDEX)
    digest = run("HOST/from/app:three", "HOST/to/app:x", third, AMD64)
    raw = server.manifests["to/app", "x"][1]
    assert sha256(raw) == digest
    document = json.loads(raw)
    assert document["annotations"] == {"a": "b"}
    assert document["manifests"] == [entries[0], entries[2], more]
    assert SEVERAL.arm64.digest not in _blobs("HOST/to/app", server)


def test_a_platform_that_there_is_not(run: Copy) -> None:
    with pytest.raises(NotFound, match="has no image for linux/s390x") as caught:
        run("HOST/from/app:all", "HOST/to/app:x", platforms.parse("linux/s390x"))
    assert caught.value.hint == "it has: linux/amd64, linux/arm64"
    with pytest.raises(NotFound, match="is for linux/amd64, not for linux/arm64"):
        run("HOST/from/app:one", "HOST/to/app:x", ARM64)


def test_an_index_is_whole_in_the_store(run: Copy) -> None:
    run("HOST/from/app:all", "store:app")
    with Store.open() as store:
        index = store.images.index_of("app")
        assert index is not None
        assert (index.id, index.whole, index.platforms) == (
            SEVERAL.digest,
            True,
            ["linux/amd64", "linux/arm64"],
        )
        assert store.images.find("app", ARM64).id == SEVERAL.arm64.id
        assert store.images.find("app", AMD64).id == SEVERAL.amd64.id


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("middle", ["HOST/to/app:x", "oci:layout:x", "oci-archive:a.tar:x"])
def test_referrers_come_along(run: Copy, server: Registry, middle: str, api: bool) -> None:
    attach = severalplatforms.attach
    contents = (b"of the index", b"of an image", b"of a signature")
    signed = attach(server, "from/app", SEVERAL.raw, SIGNATURE, contents[0])
    on_image = attach(server, "from/app", IMAGE.manifest, SIGNATURE, contents[1])
    on_signature = attach(server, "from/app", server.manifests["from/app", signed][1], SIGNATURE, contents[2])
    everything = ALL | {
        signed,
        on_image,
        on_signature,
        sha256(severalplatforms.EMPTY),
        *map(sha256, contents),
    }
    run("HOST/from/app:all", middle, referrers=True)
    with Registry() as other:
        other.referrers = api
        run(middle, f"{other.host}/end/app:x", referrers=True)
        assert {name for _, name in (*other.blobs, *other.manifests) if "sha256:" in name} >= everything
        assert len(other.tags("end/app")) == (1 if api else 4)
        run(f"{other.host}/end/app:x", "oci:back:x", referrers=True)
    assert _blobs("oci:back", server) == everything
    run("oci:back:x", "oci:without:x")
    assert _blobs("oci:without", server) == ALL


@pytest.mark.parametrize("target", ["store:app", "docker-archive:a.tar"])
def test_where_there_is_no_room_for_referrers(run: Copy, server: Registry, target: str) -> None:
    severalplatforms.attach(server, "from/app", IMAGE.manifest, SIGNATURE, b"image")
    with pytest.raises(Unsupported, match="no room for what refers to an image"):
        run("HOST/from/app:one", target, referrers=True)
    assert not os.path.exists("a.tar")


def test_a_docker_archive_has_one_platform(run: Copy) -> None:
    with pytest.raises(Unsupported, match="of one platform alone"):
        run("HOST/from/app:all", "docker-archive:a.tar:app")
    assert os.listdir() == []
    run("HOST/from/app:all", "docker-archive:a.tar:app", AMD64)
    assert os.listdir() == ["a.tar"]


@pytest.mark.parametrize("middle", ["HOST/to/app:x", "oci:layout:x", "oci-archive:a.tar:x"])
def test_signatures_under_cosigns_tags_come_along(run: Copy, server: Registry, middle: str) -> None:
    payload = b'{"critical": {}}'
    raws = {}
    server.add_blob("from/app", payload)
    server.add_blob("from/app", severalplatforms.EMPTY)
    for digest, suffix in ((SEVERAL.digest, "sig"), (IMAGE.digest, "att"), (IMAGE.digest, "sbom")):
        config = described(severalplatforms.EMPTY, media.CONFIG)
        raw = severalplatforms.manifest(config, [described(payload, f"application/{suffix}")])
        raws[f"sha256-{digest[7:]}.{suffix}"] = raw
        server.add_manifest("from/app", f"sha256-{digest[7:]}.{suffix}", raw, media.MANIFEST)
    assert run("HOST/from/app:all", middle, referrers=True) == SEVERAL.digest
    assert run(middle.removesuffix(":x") if "layout" in middle else middle, "HOST/end/app:x", referrers=True)
    assert server.tags("end/app") == sorted([*raws, "x"])
    assert {tag: server.manifests["end/app", tag][1] for tag in raws} == raws
    run(middle, "HOST/without/app:x")
    assert server.tags("without/app") == ["x"]


def test_artifacts_pass_unchanged(run: Copy, server: Registry) -> None:
    chart = severalplatforms.manifest(
        described(b'{"name": "chart"}', "application/vnd.cncf.helm.config.v1+json"),
        [described(b"chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
    )
    for blob in (b'{"name": "chart"}', b"chart"):
        server.add_blob("from/chart", blob)
    digest = server.add_manifest("from/chart", "v1", chart, media.MANIFEST)
    assert run("HOST/from/chart:v1", "oci:layout:v1") == digest
    assert run("oci:layout:v1", "HOST/to/chart:v1") == digest
    assert server.manifests["to/chart", "v1"] == (media.MANIFEST, chart)
    for target in ("store:chart", "docker-archive:a.tar"):
        with pytest.raises(Unsupported):
            run("HOST/from/chart:v1", target)


def test_layers_that_lie_elsewhere_stay_there(run: Copy, server: Registry) -> None:
    """But for those that go to the user's own machine: they are fetched from where they are."""
    layer = remote.make({"windows": b"1"})
    blob = server.add_blob("elsewhere", layer.layers[0])
    url = f"http://{server.host}/v2/elsewhere/blobs/{blob}"
    foreign = described(layer.layers[0], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    server.add_blob("from/app", layer.config)
    raw = severalplatforms.manifest(described(layer.config, media.CONFIG), [foreign | {"urls": [url]}])
    server.add_manifest("from/app", "windows", raw, media.MANIFEST)
    events: list[Event] = []
    assert run("HOST/from/app:windows", "oci:layout:x", emit=events.append) == sha256(raw)
    assert _blobs("oci:layout", server) == {sha256(raw), layer.id}
    assert Note("info", "1 layers that may not be passed on are named, and not copied") in events
    assert run("HOST/from/app:windows", "store:app") == sha256(raw)
    with Store.open() as store:
        assert store.images.find("app").id == layer.id
        assert store.blobs.has(blob)
    assert run("store:app", "HOST/to/app:x") == sha256(raw)
    assert ("to/app", blob) not in server.blobs


def test_schema_1_is_refused(run: Copy, server: Registry) -> None:
    raw = b'{"schemaVersion": 1, "fsLayers": []}'
    server.add_manifest("from/app", "old", raw, media.DOCKER_SCHEMA1_SIGNED)
    with pytest.raises(Unsupported, match="schema 1"):
        run("HOST/from/app:old", "HOST/to/app:x")


def test_what_is_told(run: Copy) -> None:
    events: list[Event] = []
    run("HOST/from/app:one", "oci:layout:x", emit=events.append)
    done = [event for event in events if isinstance(event, Transfer) and event.done == event.total > 0]
    assert sorted(event.what for event in done) == sorted(sha256(layer)[7:19] for layer in IMAGE.layers)


def test_from_python(server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wherry

    monkeypatch.chdir(tmp_path)
    source = f"{server.host}/from/app:all"
    assert wherry.copy_image(source, "oci:layout:x", [ARM64]) == SEVERAL.arm64.digest
    assert wherry.copy_image(source, "oci:layout:x") == SEVERAL.digest


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


CORRUPTIONS: list[Change | Drop] = [
    Change(lambda data: data[:-1] + b"?"),
    Change(lambda data: data[:-1]),
    Drop(10),
]


@pytest.mark.parametrize("what", CORRUPTIONS, ids=["changed", "short", "dropped"])
@pytest.mark.parametrize("target", ["oci:new:x", "oci:old:x", "oci-archive:a.tar:x", "docker-archive:a.tar"])
def test_a_blob_that_is_wrong_changes_nothing(
    run: Copy, server: Registry, tmp_path: Path, target: str, what: Change | Drop
) -> None:
    run("HOST/from/app:one", "oci:old:y")
    run("HOST/from/app:one", "oci-archive:a.tar:y")
    before = _files(tmp_path / "files")
    lost = sha256(SEVERAL.arm64.layers[0])
    server.faults.append(Fault("GET", f"/blobs/{lost}", what, 99))
    with pytest.raises(WherryError):
        run("HOST/from/app:all", target, ARM64)
    after = _files(tmp_path / "files")
    whole = {name for name in after if name.startswith("old/blobs/")}  # whole blobs may have come
    assert {name: data for name, data in after.items() if name not in whole - set(before)} == before
    assert all(sha256(after[name])[7:] == os.path.basename(name) for name in whole)
    server.faults.clear()
    run("HOST/from/app:all", target, ARM64)


@pytest.mark.parametrize("what", CORRUPTIONS, ids=["changed", "short", "dropped"])
def test_a_wrong_blob_names_nothing_in_a_registry(run: Copy, server: Registry, what: Change | Drop) -> None:
    lost = sha256(SEVERAL.arm64.layers[0])
    server.faults.append(Fault("GET", f"/blobs/{lost}", what, 99))
    with Registry() as other:
        with pytest.raises(WherryError):
            run("HOST/from/app:all", f"{other.host}/to/app:x")
        assert not other.manifests
        assert ("to/app", lost) not in other.blobs


def test_a_wrong_blob_enters_nothing_into_the_store(run: Copy, server: Registry) -> None:
    server.faults.append(Fault("GET", f"/blobs/{sha256(IMAGE.layers[0])}", CORRUPTIONS[0], 99))
    with pytest.raises(Corrupt):
        run("HOST/from/app:one", "store:app")
    with Store.open() as store:
        assert (store.images.all(), store.images.all_names()) == ([], [])
        assert not os.listdir(store.path("tmp"))


def test_a_layer_that_is_not_what_the_config_says(run: Copy, server: Registry) -> None:
    lying = remote.make({"a": b"1"}, diff_ids=["sha256:" + "0" * 64])
    remote.publish(server, "from/app:lie", lying)
    with pytest.raises(Corrupt):
        run("HOST/from/app:lie", "store:app")
    with Store.open() as store:
        assert store.images.all() == []


def test_a_download_that_breaks_is_taken_up(run: Copy, server: Registry) -> None:
    layer = remote.make({"big": os.urandom(3_000_000)})
    remote.publish(server, "from/app:big", layer)
    server.faults.append(Fault("GET", f"/blobs/{sha256(layer.layers[0])}", Drop(1_000_000)))
    with Registry() as other:
        assert run("HOST/from/app:big", f"{other.host}/to/app:x") == layer.digest
        assert other.blobs["to/app", sha256(layer.layers[0])] == layer.layers[0]
    first, second = server.asked("GET", sha256(layer.layers[0]))
    assert "Range" not in first.headers
    assert second.headers["Range"] == "bytes=1000000-"


def test_a_layout_is_added_to(run: Copy, server: Registry, tmp_path: Path) -> None:
    run("HOST/from/app:one", "oci:layout:one")
    run("HOST/from/app:all", "oci:layout:all")
    run("HOST/from/app:all", "oci:layout:all")
    run("HOST/from/app:all", "oci:layout")
    with pytest.raises(UsageError, match="has several images") as caught:
        run("oci:layout", "HOST/to/app:x")
    assert caught.value.hint == "it has: all, one"
    assert run("oci:layout:one", "HOST/to/app:x") == IMAGE.digest
    assert run(f"oci:layout@{SEVERAL.arm64.digest}", "HOST/to/app:x") == SEVERAL.arm64.digest
    index = json.loads((tmp_path / "files" / "layout" / "index.json").read_text())
    assert [item["digest"] for item in index["manifests"]] == [IMAGE.digest, SEVERAL.digest, SEVERAL.digest]
    run("HOST/from/app:one", "oci:layout:all")
    assert run("oci:layout:all", "HOST/to/app:x") == IMAGE.digest


def test_images_of_one_tag_are_told_apart(run: Copy, tmp_path: Path) -> None:
    """As in what `docker save app:v1 web:v1` writes: both are called v1 there."""
    run("HOST/from/app:one", "oci:layout:one")
    run("HOST/from/app:all", "oci:layout:all")
    path = tmp_path / "files" / "layout" / "index.json"
    index = json.loads(path.read_text())
    for entry in index["manifests"]:
        entry["annotations"]["org.opencontainers.image.ref.name"] = "v1"
    whole = "docker.io/library/app:v1"
    index["manifests"][0]["annotations"]["io.containerd.image.name"] = whole
    path.write_text(json.dumps(index))
    with pytest.raises(UsageError, match="does not say which") as caught:
        run("oci:layout:v1", "HOST/to/app:x")
    assert caught.value.hint == f"it has: {whole}, v1@{SEVERAL.digest}"
    assert run(f"oci:layout:{whole}", "HOST/to/app:x") == IMAGE.digest
    assert run(f"oci:layout:v1@{SEVERAL.digest}", "HOST/to/app:x") == SEVERAL.digest


def test_a_folder_with_other_things_is_left_alone(run: Copy, tmp_path: Path) -> None:
    (tmp_path / "files" / "home").mkdir()
    (tmp_path / "files" / "home" / "letter").write_text("dear")
    with pytest.raises(WherryError, match="has other things in it than an OCI layout"):
        run("HOST/from/app:one", "oci:home:x")
    assert os.listdir(tmp_path / "files" / "home") == ["letter"]


def test_an_empty_folder_becomes_a_layout(run: Copy, tmp_path: Path) -> None:
    (tmp_path / "files" / "layout").mkdir()
    run("HOST/from/app:one", "oci:layout:x")
    assert sorted(os.listdir("layout")) == ["blobs", "index.json", "oci-layout"]


def test_a_new_layout_that_another_one_made_first(run: Copy, server: Registry) -> None:
    """Both were begun when there was none: the second to end adds its image to the first one's."""
    one, other = places.parse("oci:layout:one"), places.parse("oci:layout:two")
    source = places.parse(f"{server.host}/from/app:one")
    with Opening() as opening:
        target = opening.target(one, source)
        origin = opening.source(source)
        target.begin(trees.read(origin), origin)
        run("HOST/from/app:all", other.text)
        copy(origin, target)
    assert run("oci:layout:one", "HOST/to/app:x") == IMAGE.digest
    assert run("oci:layout:two", "HOST/to/app:x") == SEVERAL.digest
    assert os.listdir() == ["layout"]


def test_a_digest_at_the_target_has_to_be_the_one(run: Copy, server: Registry) -> None:
    with pytest.raises(UsageError, match="what is copied has the digest"):
        run("HOST/from/app:all", f"HOST/to/app@{IMAGE.digest}")
    assert not [name for name, _ in server.manifests if name == "to/app"]
    assert run("HOST/from/app:all", f"HOST/to/app@{SEVERAL.digest}") == SEVERAL.digest
    assert server.tags("to/app") == []


def test_indexes_without_end_are_refused(run: Copy, server: Registry) -> None:
    raw = SEVERAL.raw
    for _ in range(6):
        server.add_manifest("from/app", "deep", raw, media.INDEX)
        raw = severalplatforms.index([described(raw, media.INDEX)])
    server.add_manifest("from/app", "deep", raw, media.INDEX)
    with pytest.raises(Unsupported, match="index of indexes"):
        run("HOST/from/app:deep", "HOST/to/app:x")


def test_too_many_manifests_are_refused(run: Copy, server: Registry) -> None:
    entries = [described(str(n).encode(), media.MANIFEST) for n in range(10_001)]
    server.add_manifest("from/app", "wide", severalplatforms.index(entries), media.INDEX)
    huge = [described(b"x", media.MANIFEST) | {"size": 1 << 40}]
    server.add_manifest("from/app", "huge", severalplatforms.index(huge), media.INDEX)
    server.log.clear()
    for tag in ("wide", "huge"):
        with pytest.raises(Unsupported, match="has more than 10000 manifests, or more than 64 MiB"):
            run(f"HOST/from/app:{tag}", "HOST/to/app:x")
    assert len(server.log) <= 4


def test_an_index_within_an_index(run: Copy, server: Registry) -> None:
    raw = severalplatforms.index([described(SEVERAL.raw, media.INDEX)])
    server.add_manifest("from/app", "nested", raw, media.INDEX)
    assert run("HOST/from/app:nested", "store:app") == sha256(raw)
    assert run("store:app", "HOST/to/app:x") == sha256(raw)
    assert _blobs("HOST/to/app", server) == ALL | {sha256(raw)}


def test_members_go_before_all_that_name_them(run: Copy, server: Registry) -> None:
    """The registry refuses a manifest that names what is not there yet."""
    inner = severalplatforms.index([described(IMAGE.manifest, media.MANIFEST)])
    between = severalplatforms.index([described(inner, media.INDEX)])
    indexes = [described(raw, media.INDEX) for raw in (between, inner)]
    raw = severalplatforms.index([*indexes, described(IMAGE.manifest, media.MANIFEST)])
    for each in (inner, between, raw):
        server.add_manifest("from/app", "knot", each, media.INDEX)
    assert run("HOST/from/app:knot", "HOST/to/app:x") == sha256(raw)
    assert run("HOST/from/app:knot", "oci:layout:x") == sha256(raw)


def test_an_index_that_gives_a_wrong_size(run: Copy, server: Registry) -> None:
    entry = described(IMAGE.manifest, media.MANIFEST)
    raw = severalplatforms.index([entry | {"size": entry["size"] + 1}])
    server.add_manifest("from/app", "size", raw, media.INDEX)
    with pytest.raises(Corrupt, match="gives a wrong size for"):
        run("HOST/from/app:size", "HOST/to/app:x")


def test_a_blob_that_the_store_has_is_made_a_layer(run: Copy) -> None:
    """The blob alone says nothing: a killed copy may have left it."""
    with Store.open() as store:
        for layer in IMAGE.layers:
            store.blobs.put(layer)
    run("HOST/from/app:one", "store:app")
    with Store.open() as store:
        image = store.images.find("app")
        assert all(store.layers.blobs_of(diff_id) for diff_id in image.config.diff_ids)


def test_what_refers_to_the_only_image_is_no_choice(run: Copy, server: Registry) -> None:
    severalplatforms.attach(server, "from/app", IMAGE.manifest, SIGNATURE, b"of the image")
    run("HOST/from/app:one", "oci:layout", referrers=True)
    assert run("oci:layout", "HOST/to/app:x") == IMAGE.digest


def test_an_image_alone_fits_into_a_docker_archive(run: Copy, server: Registry) -> None:
    run("HOST/from/app:all", "oci:arm:x", ARM64)
    with Opening() as opening:
        place = places.parse("docker-archive:a.tar")
        assert default_platforms(opening.source(places.parse("oci:arm:x")), place) == []
        assert default_platforms(opening.source(places.parse(f"{server.host}/from/app:all")), place) == [
            platforms.host()
        ]
        other = places.parse("oci:layout")
        assert default_platforms(opening.source(places.parse(f"{server.host}/from/app:all")), other) == []


def test_what_an_index_has_survives_prune(run: Copy, server: Registry) -> None:
    run("HOST/from/app:all", "store:app")
    with Store.open() as store:
        collect(store, Scope())
    assert run("store:app", "HOST/to/app:x") == SEVERAL.digest
    assert _blobs("HOST/to/app", server) == ALL


def test_an_index_is_changed_by_one_at_a_time(run: Copy, server: Registry) -> None:
    run("HOST/from/app:one", "oci:layout:one")
    second = Thread(target=run, args=("HOST/from/app:all", "oci:layout:all"), daemon=True)
    with locked("layout"):
        second.start()
        second.join(0.5)
        assert second.is_alive()
    second.join(60)
    assert run("oci:layout:all", "HOST/to/app:x") == SEVERAL.digest


def test_an_empty_index_within_an_index(run: Copy, server: Registry) -> None:
    empty = severalplatforms.index([])
    server.add_manifest("from/app", "empty", empty, media.INDEX)
    raw = severalplatforms.index([described(empty, media.INDEX), described(IMAGE.manifest, media.MANIFEST)])
    server.add_manifest("from/app", "odd", raw, media.INDEX)
    assert run("HOST/from/app:odd", "HOST/to/app:x") == sha256(raw)
    assert run("HOST/from/app:empty", "oci:layout:x") == sha256(empty)
    with pytest.raises(Unsupported, match="is no container image"):
        run("oci:layout:x", "store:app")


def test_short_names_and_mirrors(
    run: Copy, server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As registries.conf has them: a source may come from a mirror, a target is what it is called."""
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f'[[registry]]\nlocation = "127.0.0.1:1"\n[[registry.mirror]]\nlocation = "{server.host}"\n'
        f'[aliases]\n"short" = "{server.host}/from/app"\n'
    )
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    assert run("short:one", "oci:short:x") == IMAGE.digest
    assert run("127.0.0.1:1/from/app:all", "oci:mirrored:x") == SEVERAL.digest
    asked = len(server.log)
    with pytest.raises(WherryError, match="cannot reach 127"):
        run("oci:short:x", "127.0.0.1:1/from/app:new")
    assert len(server.log) == asked
