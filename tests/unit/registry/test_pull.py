"""Pulling from a registry that behaves, and from one that does not."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from functools import cache

import pytest

from support import remote
from support.remote import Made
from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.events import Event, Note, Transfer
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.registry.access import Access
from wherry.registry.pull import pull, retrieve
from wherry.registry.push import push
from wherry.registry.transport import Retries
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Change, Drop, Fault, Registry

QUICK = Retries(attempts=3, first=0.001)
NOISE = bytes(range(256)) * 4
AMD64 = platforms.parse("linux/amd64")


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@cache
def _two_layers() -> Made:
    """One of them is too large for a single read."""
    return remote.make({"big": random.Random(1).randbytes(3_000_000)}, {"small": NOISE})


@pytest.fixture
def image(server: Registry) -> Made:
    remote.publish(server, "team/app:v1", _two_layers())
    return _two_layers()


def _pull(store: Store, server: Registry, name: str = "team/app:v1") -> Image:
    return pull(store, server.reference(name), AMD64, access=Access(retries=QUICK))


def _nothing_in(store: Store) -> bool:
    return store.images.all() == [] and store.images.all_names() == []


def test_an_image_with_all_that_names_it(store: Store, server: Registry, image: Made) -> None:
    events: list[Event] = []
    pulled = retrieve(store, server.reference("team/app:v1"), AMD64, events.append, 7)
    assert (pulled.image.id, pulled.digest, pulled.fresh) == (image.id, image.digest, True)
    found = store.images.find(f"{server.host}/team/app:v1")
    assert found == pulled.image == store.images.find(f"{server.host}/team/app@{image.digest}")
    assert store.images.repo_digests(found.id) == [f"{server.host}/team/app@{image.digest}"]
    assert found.manifest and store.blobs.read(found.manifest) == image.manifest
    for diff_id, layer in zip(found.config.diff_ids, image.layers, strict=True):
        (blob,) = store.layers.blobs_of(diff_id)
        assert store.blobs.path(blob.digest).endswith(remote.sha256(layer)[7:])
        assert (blob.media_type, blob.size) == (media.LAYER_GZIP, len(layer))
    sizes = {remote.sha256(layer)[7:19]: len(layer) for layer in image.layers}
    done = {event.what: event.done for event in events if isinstance(event, Transfer) and event.vertex == 7}
    assert done == sizes


@pytest.mark.parametrize("kind", [media.LAYER_TAR, media.DOCKER_LAYER_TAR])
def test_layers_without_compression(store: Store, server: Registry, image: Made, kind: str) -> None:
    manifest = json.loads(image.manifest)
    manifest["layers"] = [remote.described(data, kind) for data in image.tars]
    plain = image._replace(manifest=json.dumps(manifest).encode(), layers=image.tars)
    remote.publish(server, "team/app:v1", plain)
    pulled = _pull(store, server)
    assert pulled.id == image.id
    assert push(store, pulled, server.reference("other:v1")) == plain.digest
    assert server.manifests["other", "v1"][1] == plain.manifest


def test_a_second_pull_fetches_no_blob(store: Store, server: Registry, image: Made) -> None:
    _pull(store, server)
    before = len(server.asked("GET", "/blobs/"))
    again = retrieve(store, server.reference("team/app:v1"), AMD64)
    assert not again.fresh
    assert len(server.asked("GET", "/blobs/")) == before == 1 + len(image.layers)


def test_a_pull_by_digest_moves_no_name(store: Store, server: Registry, image: Made) -> None:
    assert _pull(store, server, f"team/app@{image.digest}").id == image.id
    assert store.images.all_names() == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_broke(store: Store, image: Made, ranges: bool) -> None:
    with Registry(ranges=ranges) as server:
        remote.publish(server, "team/app:v1", image)
        server.faults += [
            Fault("GET", remote.sha256(image.layers[0]), Drop(after)) for after in (1_500_000, 0)
        ]
        assert _pull(store, server).id == image.id
        asked = server.asked("GET", remote.sha256(image.layers[0]))
        parts = [item.headers.get("Range") for item in asked]
        assert parts == [None, parts[1], parts[1]]
        assert 0 < int((parts[1] or "").removeprefix("bytes=").removesuffix("-")) <= 1_500_000


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_what_an_earlier_pull_left_is_taken_up(store: Store, image: Made, ranges: bool, right: bool) -> None:
    """A server without ranges sends all again; what is wrong, as after a loss of power, is fetched again."""
    layer, digest = image.layers[0], Digest(remote.sha256(image.layers[0]))
    with store.partials.open(digest) as partial:
        assert partial is not None
        partial.write(layer[:2_000_000] if right else bytes(2_000_000))
    with Registry(ranges=ranges) as server:
        remote.publish(server, "team/app:v1", image)
        assert _pull(store, server).id == image.id
        asked = [item.headers.get("Range") for item in server.asked("GET", digest)]
    assert asked == ["bytes=2000000-", None][: 1 if right else 2]
    assert store.partials.paths() == []


@pytest.mark.needs("root")
@pytest.mark.parametrize("left", [b"", bytes(2_000_000)])
def test_layers_are_extracted_on_the_way(store: Store, server: Registry, image: Made, left: bytes) -> None:
    """Also where it is begun anew, because what was left of an earlier pull was wrong."""
    digest = Digest(remote.sha256(image.layers[0]))
    with store.partials.open(digest) as partial:
        assert partial is not None
        partial.write(left)
    pulled = pull(store, server.reference("team/app:v1"), AMD64, unpack=True)
    found = {}
    for diff_id in pulled.config.diff_ids:
        folder = store.layers.folder(diff_id)
        assert sorted(os.listdir(folder)) == ["fs", "index"]
        assert Layers(store).tree(diff_id) == f"{folder}/fs"
        for name in os.listdir(f"{folder}/fs"):
            with open(f"{folder}/fs/{name}", "rb") as file:
                found[name] = file.read()
    assert {name: len(data) for name, data in found.items()} == {"big": 3_000_000, "small": len(NOISE)}
    assert found["small"] == NOISE
    assert os.listdir(store.path("tmp")) == []


@pytest.mark.needs("root")
def test_a_wrong_layer_leaves_no_tree(store: Store, server: Registry, image: Made) -> None:
    digest = remote.sha256(image.layers[1])
    server.faults.append(Fault("GET", digest, Change(lambda body: body[::-1]), times=1000))
    with pytest.raises(Corrupt, match=f"layer {digest[7:19]}"):
        pull(store, server.reference("team/app:v1"), AMD64, unpack=True)
    assert os.listdir(store.path("tmp")) == []
    assert not os.path.exists(store.layers.folder(Digest(remote.sha256(image.tars[1]))))


def test_a_failed_pull_keeps_what_came(store: Store, server: Registry, image: Made) -> None:
    digest = remote.sha256(image.layers[0])
    server.faults.append(Fault("GET", digest, Drop(1_500_000), times=1))
    server.faults.append(Fault("GET", digest, Answer(500), times=1000))
    with pytest.raises(WherryError, match="500"):
        _pull(store, server)
    assert _nothing_in(store)
    (left,) = store.partials.paths()
    assert 1 << 20 <= os.path.getsize(left) <= 1_500_000


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_registry_is_asked_again(store: Store, server: Registry, image: Made, status: int) -> None:
    for part in ("/manifests/", image.id, remote.sha256(image.layers[1])):
        server.faults.append(Fault("GET", part, Answer(status, (("Retry-After", "0"),)), times=2))
    assert _pull(store, server).id == image.id


def test_retry_after_is_waited_for(server: Registry, store: Store, image: Made) -> None:
    server.faults.append(Fault("GET", "/manifests/", Answer(429, (("Retry-After", "1"),))))
    began = time.monotonic()
    _pull(store, server)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        (Answer(500, (), b'{"errors":[{"message":"disk\\u001b[2J on fire"}]}'), "500 .*: disk on fire"),
        (Answer(503, (), b"<html>"), "answered 503"),
        (Answer(429, (), b"{}"), "limits its requests"),
        (Answer(403, (), b"{}"), "denies access"),
        (Answer(401, (("WWW-Authenticate", 'Basic realm="x"'),)), "asks for a login"),
        (Answer(418, (), b"[1]"), "answered 418"),
        (Answer(302, (("Location", "/v2/loop/manifests/blobs/x"),)), "redirects without end"),
        (Answer(307, (("Location", "ftp://elsewhere/"),)), "no URL"),
        (Drop(0), "broke|of .* bytes"),
        (Change(lambda body: body[:-1], honest=False), "broke|of .* bytes"),
    ],
)
def test_a_registry_that_stays_at_fault(
    store: Store, server: Registry, image: Made, part: str, what: Answer | Drop | Change, message: str
) -> None:
    server.faults.append(Fault("GET", part, what, times=1000))
    with pytest.raises(WherryError, match=message) as caught:
        _pull(store, server)
    assert "\x1b" not in str(caught.value)
    assert server.host in str(caught.value)
    assert _nothing_in(store)
    assert len(server.log) < 40


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("/manifests/", lambda body: body + b" ", "manifest with digest"),
        ("/manifests/", lambda body: b" " * (17 << 20), "document of"),
        ("/manifests/", lambda body: b"<html>Sign in</html>", "web page"),
        ("/blobs/", lambda body: body + b"x", "bytes for"),
        ("/blobs/", lambda body: b"x" * len(body), "digest|other content"),
    ],
)
def test_wrong_content(
    store: Store, server: Registry, image: Made, part: str, change: object, message: str
) -> None:
    assert callable(change)
    server.faults.append(Fault("GET", part, Change(change), times=1000))
    with pytest.raises(Corrupt, match=message):
        _pull(store, server)
    assert _nothing_in(store)


def test_one_bad_layer_leaves_no_image(store: Store, server: Registry, image: Made) -> None:
    digest = remote.sha256(image.layers[1])
    server.faults.append(Fault("GET", digest, Change(lambda body: body[::-1]), times=1000))
    with pytest.raises(Corrupt, match=f"layer {digest[7:19]}"):
        _pull(store, server)
    assert _nothing_in(store)
    assert os.listdir(store.path("tmp")) == []


def test_an_image_is_replaced_only_by_a_whole_one(store: Store, server: Registry, image: Made) -> None:
    _pull(store, server)
    remote.publish(server, "team/app:v1", remote.make({"new": NOISE}))
    server.faults.append(Fault("GET", "/blobs/", Answer(404), times=1000))
    with pytest.raises(NotFound):
        _pull(store, server)
    assert store.images.find(f"{server.host}/team/app:v1").id == image.id


def test_what_does_not_exist(store: Store, server: Registry) -> None:
    with pytest.raises(
        NotFound, match=r"no such image: .*/nix:latest: .* answers 404: manifest unknown"
    ) as caught:
        _pull(store, server, "nix")
    assert "wherry login" in caught.value.hint


def test_a_registry_that_is_down(store: Store) -> None:
    with Registry() as gone:
        reference = gone.reference("app:v1")
    with pytest.raises(WherryError, match=f"cannot reach {gone.host}: connection refused"):
        pull(store, reference, AMD64, access=Access(retries=Retries(attempts=5, first=60)))


@pytest.mark.parametrize(
    ("diff_ids", "message"),
    [
        ([], "1 layers, and diff IDs for 0"),
        (["sha256:" + "0" * 64] * 2, "1 layers, and diff IDs for 2"),
        (["sha256:" + "0" * 64], "another digest"),
        (["sha256:../../x"], "not a sha256 digest"),
    ],
)
def test_a_config_that_lies(store: Store, server: Registry, diff_ids: list[str], message: str) -> None:
    made = remote.make({"a": b"1"})
    config = json.loads(made.config)
    config["rootfs"]["diff_ids"] = diff_ids
    raw = json.dumps(config).encode()
    manifest = json.loads(made.manifest) | {"config": remote.described(raw, media.CONFIG)}
    remote.publish(server, "liar:v1", Made(json.dumps(manifest).encode(), raw, made.layers, made.tars))
    with pytest.raises(WherryError, match=message):
        _pull(store, server, "liar:v1")
    assert _nothing_in(store)
    assert store.layers.all() == []


@pytest.mark.parametrize(
    ("raw", "media_type", "error"),
    [
        (b"{}", media.MANIFEST, Corrupt),
        (b"[]", media.MANIFEST, Corrupt),
        (b'{"config": 1}', media.MANIFEST, Corrupt),
        (b"not json", media.MANIFEST, Corrupt),
        (b'{"schemaVersion": 1, "fsLayers": []}', media.DOCKER_SCHEMA1_SIGNED, Unsupported),
        (b'{"hello": 1}', "application/json", Unsupported),
    ],
)
def test_documents_that_are_no_manifest(
    store: Store, server: Registry, raw: bytes, media_type: str, error: type[WherryError]
) -> None:
    server.add_manifest("odd", "v1", raw, media_type)
    with pytest.raises(error, match=f"{server.host}"):
        _pull(store, server, "odd:v1")


def test_an_artifact_is_no_image(store: Store, server: Registry) -> None:
    made = remote.make({"a": b"1"})
    manifest = json.loads(made.manifest)
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    server.add_manifest("chart", "v1", json.dumps(manifest).encode(), media.MANIFEST)
    with pytest.raises(Unsupported, match=r"not a container image.*helm"):
        _pull(store, server, "chart:v1")


class TestIndexes:
    def _publish(self, server: Registry, *architectures: str) -> dict[str, Made]:
        images = {name: remote.make({"which": name.encode()}, architecture=name) for name in architectures}
        entries = []
        for name, made in images.items():
            remote.publish(server, f"multi:{name}", made)
            platform = {"os": "linux", "architecture": name}
            entries.append(remote.described(made.manifest, media.MANIFEST) | {"platform": platform})
        attestation = dict(entries[0], platform={"os": "unknown", "architecture": "unknown"})
        attestation["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
        raw = json.dumps({"schemaVersion": 2, "manifests": [attestation, *entries]}).encode()
        server.add_manifest("multi", "v1", raw, media.INDEX)
        return images

    def test_the_platform_chooses(self, store: Store, server: Registry) -> None:
        images = self._publish(server, "amd64", "arm64")
        for name, made in images.items():
            pulled = retrieve(store, server.reference("multi:v1"), platforms.parse(f"linux/{name}"))
            assert pulled.image.id == made.id
            assert pulled.digest not in (made.digest, None)
            assert store.images.repo_digests(pulled.image.id) == [f"{server.host}/multi@{pulled.digest}"]

    def test_none_for_the_platform(self, store: Store, server: Registry) -> None:
        self._publish(server, "s390x", "arm64")
        with pytest.raises(NotFound, match="no image for linux/amd64") as caught:
            _pull(store, server, "multi:v1")
        assert caught.value.hint == "it has: linux/arm64, linux/s390x"

    def test_a_single_image_of_another_platform(self, store: Store, server: Registry) -> None:
        images = self._publish(server, "s390x")
        with pytest.raises(NotFound, match="is for linux/s390x, not for linux/amd64"):
            _pull(store, server, "multi:s390x")
        events: list[Event] = []
        pulled = retrieve(store, server.reference("multi:s390x"), None, events.append)
        assert pulled.image.id == images["s390x"].id
        assert [event.level for event in events if isinstance(event, Note)] == ["warning"]

    def test_an_index_of_itself_ends(self, store: Store, server: Registry) -> None:
        raw = b'{"schemaVersion": 2, "manifests": []}'
        for _ in range(5):
            entry = remote.described(raw, media.INDEX)
            digest = server.add_manifest("deep", "v1", raw, media.INDEX)
            assert digest == entry["digest"]
            raw = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        server.add_manifest("deep", "v1", raw, media.INDEX)
        with pytest.raises(Unsupported, match="index of indexes"):
            _pull(store, server, "deep:v1")


@pytest.mark.parametrize("part", ["config", "layer"])
def test_a_wrong_size_of_what_is_here(store: Store, server: Registry, image: Made, part: str) -> None:
    """It would go out with the manifest, and be sent with that many bytes."""
    _pull(store, server)
    manifest = json.loads(image.manifest)
    (manifest["config"] if part == "config" else manifest["layers"][1])["size"] += 1
    server.add_manifest("team/app", "v2", json.dumps(manifest).encode(), media.MANIFEST)
    with pytest.raises(Corrupt, match=r"has \d+ bytes, not \d+ as its manifest says"):
        _pull(store, server, "team/app:v2")
    assert [str(name.reference.tag) for name in store.images.all_names()] == ["v1"]
