"""Layers that may not be passed on: they come from the URLs of their descriptors, and stay where they are."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import remote
from support.remote import Made
from wherry.base.errors import WherryError
from wherry.base.events import Event, Note
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.registry.access import Access
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.pull import pull
from wherry.registry.push import push
from wherry.registry.transport import Retries
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Change, Drop, Fault, Registry

QUICK = Retries(attempts=3, first=0.001)
AMD64 = platforms.parse("linux/amd64")


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        registry.checks_names = False
        yield registry


@pytest.fixture
def elsewhere() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def publish(server: Registry, elsewhere: Registry, *urls: str) -> Made:
    """An image whose second layer lies elsewhere, behind `urls`, or else at the one where it is."""
    made = remote.make({"own": b"1"}, {"foreign": random.Random(5).randbytes(3_000_000)})
    digest = elsewhere.add_blob("x", made.layers[1])
    manifest = json.loads(made.manifest)
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    manifest["layers"][1] |= {"mediaType": kind, "urls": list(urls or [place(elsewhere, digest)])}
    made = made._replace(manifest=json.dumps(manifest).encode())
    server.add_blob("app", made.config)
    server.add_blob("app", made.layers[0])
    server.add_manifest("app", "v1", made.manifest, media.MANIFEST)
    return made


def place(registry: Registry, digest: str) -> str:
    return f"{registry.url}/v2/x/blobs/{digest}"


def fetch(store: Store, server: Registry, credentials: Credentials | None = None) -> Image:
    return pull(
        store, server.reference("app:v1"), AMD64, access=Access(credentials=credentials, retries=QUICK)
    )


def test_a_layer_comes_from_its_url(store: Store, server: Registry, elsewhere: Registry) -> None:
    made = publish(server, elsewhere)
    elsewhere.faults.append(Fault("GET", "/blobs/", Drop(1_500_000)))
    assert fetch(store, server).id == made.id
    assert [item.headers.get("Range", "")[:7] for item in elsewhere.log] == ["", "bytes=1"]


def test_the_registry_is_asked_first(store: Store, server: Registry, elsewhere: Registry) -> None:
    made = publish(server, elsewhere)
    server.add_blob("app", made.layers[1])
    fetch(store, server)
    assert elsewhere.log == []


def test_the_next_url_is_tried(store: Store, server: Registry, elsewhere: Registry) -> None:
    digest = remote.sha256(publish(server, elsewhere).layers[1])
    publish(server, elsewhere, f"{elsewhere.url}/nothing", "http://127.0.0.1:1/x", place(elsewhere, digest))
    fetch(store, server)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/hostname", "no URL of https"),
        ("ftp://127.0.0.1/x", "no URL of https"),
        ("http://169.254.169.254/latest", "no URL of https"),
        ("http://127.0.0.1:99999999/x", "no URL of https"),
        ("https:///x", "no URL of https"),
        ("http://localhost.example.com/x", "no URL of https"),
        ("https://", "no URL of https"),
        ("http://127.0.0.1:1/\n", "no URL of https"),
        ("http://127.0.0.1:1/x", "cannot reach"),
        ("http://[::1/", "no URL of https"),
    ],
)
def test_other_urls_are_not_asked(
    store: Store, server: Registry, elsewhere: Registry, url: str, message: str
) -> None:
    publish(server, elsewhere, url)
    with pytest.raises(WherryError, match=f"has not got the layer .*({message})"):
        fetch(store, server)
    assert store.images.all() == []


def test_what_comes_is_verified(store: Store, server: Registry, elsewhere: Registry) -> None:
    publish(server, elsewhere)
    elsewhere.faults.append(Fault("GET", "/blobs/", Change(lambda body: body[::-1]), times=99))
    with pytest.raises(WherryError, match="as was promised"):
        fetch(store, server)
    assert store.images.all() == []
    assert store.partials.paths() == []


def test_another_host_gets_no_credential(store: Store, elsewhere: Registry, tmp_path: Path) -> None:
    with Registry("ann", "pw") as server:
        credentials = Credentials(str(tmp_path / "config.json"))
        credentials.put(server.host, Credential("ann", "pw"))
        elsewhere.faults.append(Fault("GET", "/blobs/", Answer(401, (("WWW-Authenticate", "Basic"),))))
        publish(server, elsewhere)
        with pytest.raises(WherryError, match="has not got the layer"):
            fetch(store, server, credentials)
        fetch(store, server, credentials)
    assert elsewhere.log
    assert not any("Authorization" in item.headers for item in elsewhere.log)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_push_names_them_and_sends_them_only_if_told(
    store: Store, server: Registry, elsewhere: Registry, allowed: bool
) -> None:
    made = publish(server, elsewhere)
    image = fetch(store, server)
    events: list[Event] = []
    with Registry() as target:
        target.checks_names = False
        assert push(store, image, target.reference("a:v1"), events.append, foreign=allowed) == made.digest
        assert (("a", remote.sha256(made.layers[1])) in target.blobs) is allowed
        assert ("a", remote.sha256(made.layers[0])) in target.blobs
    said = [event.text for event in events if isinstance(event, Note)]
    assert said == ([] if allowed else ["1 layers that may not be passed on are named, and not sent"])
