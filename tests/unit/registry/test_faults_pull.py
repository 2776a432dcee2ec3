"""Every fault at every step of a pull: once, and each time.

A pull ends with the whole image or with one clear error; then nothing half-written is in the store, nothing
that was there is other than before, and a pull without the fault succeeds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from support import faulty, remote, storage
from support.faulty import PASSES, QUICK, assert_expected
from support.remote import Made
from wherry.base.errors import WherryError
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.registry.pull import pull
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.faults import Kind
from wherry.testing.registry import (
    Answer,
    Change,
    Drip,
    Drop,
    Fault,
    Lost,
    Redirect,
    Registry,
    Relabel,
    Stall,
)

AMD64 = platforms.parse("linux/amd64")
ZEROS = "sha256:" + "0" * 64
HTML = (("Content-Type", "text/html"),)


class Row(NamedTuple):
    """A fault, and what the error says when it happens once and when it always happens; PASSES for none."""

    what: Kind
    once: str
    always: str


FAULTS = {
    **{f"status {code}": Row(Answer(code), PASSES, f"answered {code}") for code in (408, 500, 503)},
    "429": Row(Answer(429), PASSES, "limits its requests"),
    "429, seconds": Row(Answer(429, (("Retry-After", "5"),)), PASSES, "limits its requests"),
    "429, a date": Row(
        Answer(429, (("Retry-After", "Wed, 21 Oct 2099 07:28:00 GMT"),)), PASSES, "limits its requests"
    ),
    "429, nonsense": Row(Answer(429, (("Retry-After", "soon\t\x80"),)), PASSES, "limits its requests"),
    "403": Row(Answer(403, (), b'{"errors":[{"code":"DENIED"}]}'), "denies access", "denies access"),
    "404": Row(Answer(404, HTML, b"<html>"), "web page|404", "web page|404"),
    "418": Row(Answer(418, (), b'{"errors":[{"message":"\\u001b[2Jtea\\n"}]}'), "418.*tea", "418.*tea"),
    "401, an unknown scheme": Row(Answer(401, (("WWW-Authenticate", "Magic x"),)), "login", "login"),
    "no body": Row(Answer(200), "bytes|JSON|digest", "bytes|JSON|digest"),
    "204": Row(Answer(204), "204", "204"),
    "206 unasked": Row(Answer(206), "206|was sent|bytes|digest", "206|was sent|bytes|digest"),
    "a web page": Row(Answer(200, HTML, b"<html>Sign in</html>"), "web page|bytes", "web page|bytes"),
    "a web page that says JSON": Row(
        Answer(200, (("Content-Type", media.MANIFEST),), b"<html>Sign in</html>"),
        "web page|bytes",
        "web page|bytes",
    ),
    "17 MiB of JSON": Row(
        Change(lambda body: b" " * (17 << 20) + body), "document of|bytes for", "document of|bytes for"
    ),
    "deep JSON": Row(Change(lambda _: b"[" * 500_000), "digest|bytes", "digest|bytes"),
    "another length": Row(Relabel((("Content-Length", "7"),)), "digest|bytes", "digest|bytes"),
    "a longer length": Row(Relabel((("Content-Length", "9999999"),)), ".|^$", "closed too early|broke|bytes"),
    "no length": Row(Relabel((("Content-Length", ""),)), PASSES, PASSES),
    "no length, and more": Row(
        Change(lambda body: body + b" ", honest=False), "digest|bytes|^$", "digest|bytes|^$"
    ),
    "other bytes": Row(Change(lambda body: body[::-1]), "digest|content", "digest|content"),
    "cut short": Row(Change(lambda body: body[:-1]), "digest|bytes", "digest|bytes"),
    "one more byte": Row(Change(lambda body: body + b" "), "digest|bytes", "digest|bytes"),
    "lost": Row(Lost(), PASSES, "broke"),
    "dropped at once": Row(Drop(0), PASSES, "broke|of .* bytes"),
    "dropped in the middle": Row(Drop(100), PASSES, "broke|of .* bytes"),
    "a drip": Row(Drip(500_000, 0.001), PASSES, PASSES),
    "a pause": Row(Stall(50, 0.05), PASSES, PASSES),
    "a loop": Row(Redirect(), PASSES, "redirects without end"),
    "to nowhere": Row(Answer(302, (("Location", "gopher://x/"),)), "no URL", "no URL"),
    "to another port": Row(Redirect("http://127.0.0.1:1"), PASSES, "cannot reach"),
    "a name for its zeros": Row(
        Relabel((("Docker-Content-Digest", ZEROS),)), "with digest|^$", "with digest|^$"
    ),
    "a name that is none": Row(Relabel((("Docker-Content-Digest", "../../x"),)), PASSES, PASSES),
    "a coding that it has not": Row(Relabel((("Content-Encoding", "gzip"),)), PASSES, PASSES),
}


@cache
def _made() -> Made:
    return remote.make({"big": random.Random(1).randbytes(1_200_000)}, {"b": b"2" * 3000}, {"c": b"3"})


def _publish(registry: Registry) -> dict[str, str]:
    """An index with one image, whose first layer the store has already; what is in the path of each step."""
    made = _made()
    remote.publish(registry, "team/app:only", made)
    entry = remote.described(made.manifest, media.MANIFEST)
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [entry]}).encode()
    registry.add_manifest("team/app", "v1", index, media.INDEX)
    return {
        "index": "/manifests/v1",
        "manifest": f"/manifests/{made.digest}",
        "config": f"/blobs/{made.id}",
        "layer": f"/blobs/{remote.sha256(made.layers[0])}",
    }


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def server(shared_server: Registry) -> Registry:
    return faulty.reset(shared_server)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has something: another image, which the faults must not touch."""
    folder = tmp_path_factory.mktemp("template") / "store"
    with Registry() as registry, Store.open(str(folder)) as store:
        remote.publish(registry, "team/app:v1", remote.make({"c": b"3"}, {"mine": b"x"}))
        image = pull(store, registry.reference("team/app:v1"), AMD64)
        Layers(store).index(image.config.diff_ids[0])
    return folder


@pytest.fixture
def seeded(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "store")
    with Store.open(str(tmp_path / "store")) as store:
        yield store


def _pull(store: Store, server: Registry) -> Image:
    return pull(store, server.reference("team/app:v1"), AMD64, retries=QUICK)


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
@pytest.mark.parametrize("step", ["index", "manifest", "config", "layer"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_with(seeded: Store, server: Registry, fault: str, step: str, times: int) -> None:
    parts, row = _publish(server), FAULTS[fault]
    before = storage.content(seeded)
    server.faults.append(Fault("GET", parts[step], row.what, times))
    failed = None
    try:
        _assert_whole(seeded, _pull(seeded, server))
    except WherryError as error:
        failed = error
        assert len(server.log) < 40
        storage.assert_nothing_half_written(seeded, before)
    assert_expected(failed, row.once if times == 1 else row.always)
    server.faults.clear()
    _assert_whole(seeded, _pull(seeded, server))


def _assert_whole(store: Store, image: Image) -> None:
    assert image.id == _made().id
    for diff_id, tar in zip(image.config.diff_ids, _made().tars, strict=True):
        with Layers(store).open_tar(diff_id) as stream:
            assert stream.read() == tar
    assert os.listdir(store.path("tmp")) == []
