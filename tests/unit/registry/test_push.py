"""Pushing: what is sent, what is not sent again, and what happens when it goes wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import remote
from support.remote import Made
from wherry.base.errors import WherryError
from wherry.base.events import Event, Transfer
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, ImageConfig
from wherry.registry.access import Access
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.pull import pull
from wherry.registry.push import push
from wherry.registry.transport import Retries
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Drop, Fault, Registry

AMD64 = platforms.parse("linux/amd64")
QUICK = Retries(attempts=3, first=0.001)


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def made() -> Made:
    return remote.make({"a": b"1" * 100_000}, {"b": b"2"})


@pytest.fixture
def pulled(store: Store, server: Registry, made: Made) -> Image:
    remote.publish(server, "from/base:v1", made)
    return pull(store, server.reference("from/base:v1"), AMD64)


def _built(store: Store, *on: str) -> Image:
    """An image as a build leaves it, with one layer of its own above those of `on`."""
    layers = Layers(store)
    below = [diff_id for name in on for diff_id in store.images.find(name).config.diff_ids]
    own = layers.add_stream(io.BytesIO(remote.tar({"own": b"content" * 5000})), extract=False)
    config = ImageConfig(AMD64, Execution(cmd=("sh",)), (*below, own.diff_id))
    return store.images.get(store.images.put(config.encode()))


def test_a_pulled_image_goes_out_as_it_came(store: Store, pulled: Image, made: Made) -> None:
    with Registry() as other:
        assert push(store, pulled, other.reference("a/b:v2")) == made.digest
        assert other.manifests["a/b", "v2"] == (media.MANIFEST, made.manifest)
        assert {blob for _, blob in other.blobs} == {
            remote.sha256(data) for data in (made.config, *made.layers)
        }
        assert f"{other.host}/a/b@{made.digest}" in store.images.repo_digests(pulled.id)
        remote_copy = pull(store, other.reference("a/b:v2"), AMD64)
        assert remote_copy.id == pulled.id


def test_a_built_image_gets_an_oci_manifest(store: Store, server: Registry) -> None:
    image = _built(store)
    digest = push(store, image, server.reference("app:v1"))
    media_type, raw = server.manifests["app", "v1"]
    document = json.loads(raw)
    assert (media_type, remote.sha256(raw)) == (media.MANIFEST, digest)
    assert document["config"]["digest"] == image.id
    assert [layer["mediaType"] for layer in document["layers"]] == [media.LAYER_GZIP]
    assert push(store, image, server.reference("app:v2")) == digest


def test_nothing_is_sent_twice(store: Store, server: Registry) -> None:
    image = _built(store)
    push(store, image, server.reference("app:v1"))
    server.log.clear()
    events: list[Event] = []
    push(store, image, server.reference("app:v2"), events.append, 3)
    assert [item.method for item in server.log] == ["HEAD", "HEAD", "PUT"]
    whole = [event for event in events if isinstance(event, Transfer) and event.done == event.total > 0]
    assert len(whole) == 1
    assert whole[0].vertex == 3


def test_known_layers_are_mounted(store: Store, server: Registry, pulled: Image, made: Made) -> None:
    image = _built(store, f"{server.host}/from/base:v1")
    push(store, image, server.reference("my/app:v1"))
    mounts = server.asked("POST", "mount=")
    assert {item.path.partition("mount=")[2].partition("&")[0] for item in mounts} == {
        remote.sha256(layer) for layer in made.layers
    }
    assert all(item.path.endswith("&from=from/base") for item in mounts)
    assert len(server.asked("PUT", "/uploads/")) == 2  # its own layer and its config
    document = json.loads(server.manifests["my/app", "v1"][1])
    assert [layer["digest"] for layer in document["layers"]][:2] == [
        remote.sha256(layer) for layer in made.layers
    ]


def test_a_refused_mount_becomes_an_upload(store: Store, server: Registry, pulled: Image, made: Made) -> None:
    server.blobs.clear()
    push(store, pulled, server.reference("my/app:v1"))
    assert server.asked("POST", "mount=")
    assert {blob for name, blob in server.blobs if name == "my/app"} == {
        remote.sha256(data) for data in (made.config, *made.layers)
    }


@pytest.mark.parametrize(
    ("method", "part", "what"),
    [
        ("PUT", "/uploads/", Answer(404)),  # the session is lost: another one is begun
        *(
            (method, part, what)
            for method, part in (("POST", "/uploads/"), ("PUT", "/uploads/"), ("PUT", "/manifests/"))
            for what in (Answer(500), Answer(429), Drop(0))
        ),
    ],
)
def test_faults_that_pass(
    store: Store, server: Registry, method: str, part: str, what: Answer | Drop
) -> None:
    server.faults.append(Fault(method, part, what, times=2))
    image = _built(store)
    assert push(store, image, server.reference("app:v1"), access=Access(retries=QUICK))
    assert ("app", "v1") in server.manifests


@pytest.mark.parametrize(
    ("method", "part", "what", "message"),
    [
        ("POST", "/uploads/", Answer(500), "answered 500"),
        ("POST", "/uploads/", Answer(403, (), b'{"errors":[{"code":"DENIED"}]}'), "denies access.*DENIED"),
        ("POST", "/uploads/", Answer(202), "did not say where"),
        ("POST", "/uploads/", Answer(202, (("Location", "ftp://x/"),)), "no URL"),
        ("PUT", "/uploads/", Answer(500), "answered 500 to an upload"),
        ("PUT", "/uploads/", Answer(400, (), b'{"errors":[{"message":"digest invalid"}]}'), "digest invalid"),
        ("PUT", "/manifests/", Answer(400, (), b'{"errors":[{"message":"blob unknown"}]}'), "blob unknown"),
        ("PUT", "/manifests/", Answer(413, (), b"<html>"), "answered 413"),
        ("HEAD", "/blobs/", Answer(503), "answered 503"),
    ],
)
def test_faults_that_stay(
    store: Store, server: Registry, method: str, part: str, what: Answer, message: str
) -> None:
    server.faults.append(Fault(method, part, what, times=1000))
    image = _built(store)
    with pytest.raises(WherryError, match=message) as caught:
        push(store, image, server.reference("app:v1"), access=Access(retries=QUICK))
    assert server.host in str(caught.value)
    assert ("app", "v1") not in server.manifests
    assert store.images.repo_digests(image.id) == []


def test_a_registry_that_takes_another_manifest(store: Store, server: Registry) -> None:
    wrong = Answer(201, (("Docker-Content-Digest", "sha256:" + "0" * 64),))
    server.faults.append(Fault("PUT", "/manifests/", wrong))
    with pytest.raises(WherryError, match="took the manifest"):
        push(store, _built(store), server.reference("app:v1"))


def test_an_upload_location_elsewhere_gets_no_credential(store: Store, tmp_path: Path) -> None:
    with Registry("ann", "pw") as server, Registry() as elsewhere:
        credentials = Credentials(str(tmp_path / "config.json"))
        credentials.put(server.host, Credential("ann", "pw"))
        image = _built(store)
        push(store, image, server.reference("app:v1"), access=Access(credentials=credentials))
        assert any("Authorization" in item.headers for item in server.asked("PUT", "/uploads/"))
        server.blobs.clear()
        server.checks_names = False
        for name in ("7", "8"):
            elsewhere.uploads[name] = bytearray()
            answer = Answer(202, (("Location", f"http://{elsewhere.host}/v2/app/blobs/uploads/{name}"),))
            server.faults.append(Fault("POST", "/uploads/", answer))
        push(store, image, server.reference("app:v2"), access=Access(credentials=credentials))
        assert len(elsewhere.asked("PUT", "digest=")) == 2
        assert not any("Authorization" in item.headers for item in elsewhere.log)


def test_a_digest_is_not_pushed_to(store: Store, server: Registry) -> None:
    reference = server.reference("app:v1")._replace(digest=_built(store).id)
    with pytest.raises(WherryError, match="only a tag"):
        push(store, _built(store), reference)
