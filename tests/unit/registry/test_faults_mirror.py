"""Every fault of a mirror: the registry itself has all that is needed, so each pull succeeds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support import faulty, remote
from support.faulty import QUICK
from support.remote import Made
from wherry.base.events import Event, Note
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.registry.access import Access
from wherry.registry.config import Mirror, Registries, Table
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.pull import pull
from wherry.store.store import Store
from wherry.testing.faults import Kind
from wherry.testing.registry import Answer, Change, Drop, Fault, Lost, Redirect, Registry, Relabel

AMD64 = platforms.parse("linux/amd64")

FAULTS: dict[str, Kind] = {
    "500": Answer(500),
    "429": Answer(429, (("Retry-After", "9"),)),
    "401": Answer(401, (("WWW-Authenticate", 'Basic realm="mirror"'),)),
    "403": Answer(403),
    "404": Answer(404),
    "418": Answer(418),
    "a web page": Answer(200, (("Content-Type", "text/html"),), b"<html>Sign in</html>"),
    "nothing": Answer(200),
    "lost": Lost(),
    "dropped": Drop(100),
    "dropped late": Drop(2_000_000),
    "other bytes": Change(lambda body: body[::-1]),
    "fewer bytes": Change(lambda body: body[:-1]),
    "more bytes": Change(lambda body: body + b" "),
    "another length": Relabel((("Content-Length", "7"),)),
    "a loop": Redirect(),
    "nobody there": Redirect("http://127.0.0.1:1"),
    "another scheme": Answer(302, (("Location", "gopher://x/"),)),
    "another digest": Relabel((("Docker-Content-Digest", "sha256:" + "0" * 64),)),
}


@cache
def _made() -> Made:
    return remote.make({"big": random.Random(4).randbytes(3_000_000)}, {"b": b"2" * 3000}, {"c": b"3"})


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[Registry, Registry]]:
    with Registry() as home, Registry() as mirror:
        yield home, mirror


@pytest.fixture
def home(_servers: tuple[Registry, Registry]) -> Registry:
    return _published(_servers[0])


@pytest.fixture
def mirror(_servers: tuple[Registry, Registry]) -> Registry:
    return _published(_servers[1])


def _published(server: Registry) -> Registry:
    remote.publish(faulty.reset(server), "app:only", _made())
    entry = remote.described(_made().manifest, media.MANIFEST)
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [entry]}).encode()
    server.add_manifest("app", "v1", index, media.INDEX)
    return server


def _configured(home: Registry, *mirrors: Registry) -> Registries:
    asked = tuple(Mirror(server.host, None, "all") for server in mirrors)
    return Registries((Table(home.host, home.host, None, False, asked, "test.conf"),))


def _assert_pulled(
    store: Store, home: Registry, *mirrors: Registry, known: Credentials | None = None
) -> list[str]:
    """What was said of mirrors that failed."""
    events: list[Event] = []
    image = pull(
        store,
        home.reference("app:v1"),
        AMD64,
        events.append,
        access=Access(_configured(home, *mirrors), known, QUICK),
    )
    for diff_id, tar in zip(image.config.diff_ids, _made().tars, strict=True):
        with Layers(store).open_tar(diff_id) as stream:
            assert stream.read() == tar
    notes = [event.text for event in events if isinstance(event, Note)]
    return [text for text in notes if "passed over" in text]


def test_a_good_mirror_is_all_that_is_asked(store: Store, home: Registry, mirror: Registry) -> None:
    assert _assert_pulled(store, home, mirror) == []
    assert home.log == []


@pytest.mark.parametrize(
    "part", ["/manifests/v1", "/manifests/sha256", _made().id, remote.sha256(_made().layers[0])]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_mirror_with(store: Store, home: Registry, mirror: Registry, fault: str, part: str) -> None:
    mirror.faults.append(Fault("GET", part, FAULTS[fault], times=1000))
    notes = _assert_pulled(store, home, mirror)
    if home.log:
        assert [note for note in notes if f"the mirror {mirror.host} is passed over" in note]
    assert len(mirror.log) < 40


def test_what_a_mirror_poisoned_is_fetched_again(store: Store, home: Registry, mirror: Registry) -> None:
    """It lied in the first part of a layer and left: the rest of the true one does not make it right."""
    layer = remote.sha256(_made().layers[0])
    mirror.blobs["app", layer] = mirror.blobs["app", layer][::-1]
    mirror.faults += [Fault("GET", layer, Drop(2_000_000)), Fault("GET", layer, Answer(404), times=100)]
    assert _assert_pulled(store, home, mirror)


def test_no_mirror_gets_the_registry_s_credentials(
    store: Store, home: Registry, mirror: Registry, tmp_path: Path
) -> None:
    """Also not one that asks for a login, and the registry gets none of the mirror's."""
    known = Credentials(str(tmp_path / "config.json"))
    known.put(home.host, Credential("ann", "of the registry"))
    known.put(mirror.host, Credential("ann", "of the mirror"))
    with Registry("ann", "of the registry") as closed, Registry("ann", "of another") as stranger:
        _published(closed)
        known.put(closed.host, Credential("ann", "of the registry"))
        _assert_pulled(store, closed, stranger, mirror, known=known)
        assert stranger.log and mirror.log
        assert not [item for item in (*stranger.log, *mirror.log) if "Authorization" in item.headers]
