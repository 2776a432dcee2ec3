"""Every fault at every step of a push: once, and each time.

A push ends with the whole image in the registry or with one clear error; then nothing bears the name, the
store has no more than the packed layers, and a push without the fault succeeds and sends no blob again.
"""

from __future__ import annotations

import io
import random
from typing import NamedTuple

import pytest

from support import remote, storage
from support.faulty import PASSES, QUICK, assert_expected
from wherry.base.errors import WherryError
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.digest import Digest
from wherry.registry.access import Access
from wherry.registry.push import push
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.faults import Kind
from wherry.testing.registry import Answer, Change, Cut, Drip, Fault, Lost, Redirect, Registry, Relabel

AMD64 = platforms.parse("linux/amd64")
ZEROS = "sha256:" + "0" * 64
STEPS = {
    "look": ("HEAD", "/blobs/"),
    "begin": ("POST", "/uploads/"),
    "send": ("", "state=x"),
    "name": ("PUT", "/manifests/"),
}
"""Method and part of the path of each step of a push."""


class Row(NamedTuple):
    """A fault, the steps that it is for, and what the error says: see test_faults_pull."""

    what: Kind
    steps: str
    once: str
    always: str


ALL = "look begin send name"
FAULTS = {
    **{f"status {code}": Row(Answer(code), ALL, PASSES, f"answered {code}") for code in (408, 500, 503)},
    "429": Row(Answer(429, (("Retry-After", "5"),)), ALL, PASSES, "limits its requests|answered 429"),
    "403": Row(Answer(403, (), b'{"errors":[{"code":"DENIED"}]}'), ALL, "denies", "denies"),
    "401": Row(Answer(401, (("WWW-Authenticate", "Magic x"),)), ALL, "login", "login"),
    "404": Row(Answer(404, (), b"404 page not found"), "begin name", "404", "404"),
    "a lost upload": Row(Answer(404), "send", PASSES, "404"),
    "413": Row(Answer(413, (), b"<html>too large</html>"), "begin send name", "413", "413"),
    "a web page": Row(
        Answer(200, (("Content-Type", "text/html"),), b"<html>Sign in</html>"), "begin send", "200", "200"
    ),
    "another digest": Row(
        Answer(400, (), b'{"errors":[{"code":"DIGEST_INVALID","message":"digest\\u001b[2J\\n"}]}'),
        "send name",
        "400.*digest",
        "400.*digest",
    ),
    "lost": Row(Lost(done=False), ALL, PASSES, "broke"),
    "lost when it was done": Row(Lost(done=True), ALL, PASSES, "broke|^$"),
    "cut at once": Row(Cut(0), "send name", PASSES, "broke"),
    "cut in the middle": Row(Cut(150_000), "send", PASSES, "broke|^$"),
    "cut in the middle, for nothing": Row(Cut(150_000, kept=False), "send", PASSES, "broke|^$"),
    "cut before the end": Row(Cut(10), "send name", PASSES, "broke|^$"),
    "a drip": Row(Drip(20, 0.001), ALL, PASSES, PASSES),
    "a redirect": Row(Redirect(), "begin send name", "307", "307"),
    "no place": Row(Relabel((("Location", ""),)), "begin", "did not say where", "did not say where"),
    "a place that is none": Row(Relabel((("Location", "ftp://x/"),)), "begin", "no URL", "no URL"),
    "a place where nobody is": Row(
        Relabel((("Location", "http://127.0.0.1:1/x"),)), "begin", "cannot reach|^$", "cannot reach"
    ),
    "another name": Row(
        Relabel((("Docker-Content-Digest", ZEROS),)), "name", "took the manifest", "took the manifest"
    ),
    "a name that is none": Row(Relabel((("Docker-Content-Digest", "../x"),)), "send name", PASSES, PASSES),
    "an answer that breaks off": Row(Change(lambda body: body, honest=False), ALL, PASSES, PASSES),
    **{
        f"the range {text!r}": Row(Relabel((("Range", text),)), "begin send", "^$|range|received", "^$|range")
        for text in ("", "0-99999999999", "5-2", "bytes=0-1", "x", "0--1", "0-" + "9" * 5000)
    },
}
CASES = [
    (fault, step, times) for fault, row in FAULTS.items() for step in row.steps.split() for times in (1, 1000)
]


@pytest.fixture
def image(store: Store) -> Image:
    """An image of two layers, as builds leave it; the first takes several hundred KB when it is packed."""
    diff_ids: list[Digest] = []
    for files in ({"big": random.Random(2).randbytes(400_000)}, {"small": b"x" * 1000}):
        diff_ids.append(Layers(store).add_stream(io.BytesIO(remote.tar(files)), extract=False).diff_id)
    config = ImageConfig(AMD64, Execution(cmd=("sh",)), tuple(diff_ids))
    return store.images.get(store.images.put(config.encode()))


def test_an_upload_that_never_comes_to_its_end(store: Store, server: Registry) -> None:
    """The registry takes a good deal, forgets it, takes it again: that is no progress."""
    data = random.Random(5).randbytes(4 << 20)
    layer = Layers(store).add_stream(io.BytesIO(remote.tar({"large": data})), extract=False)
    config = ImageConfig(AMD64, Execution(cmd=("sh",)), (layer.diff_id,))
    image = store.images.get(store.images.put(config.encode()))
    for number in range(1, 20):
        server.faults.append(Fault("PATCH", "state=x", Cut(2 << 20)))
        server.faults.append(Fault("PATCH", "state=x", Cut(0)))
        server.faults.append(Fault("GET", "state=x", Answer(404), skip=number))
    with pytest.raises(WherryError) as caught:
        push(store, image, server.reference("team/app:v1"), access=Access(retries=QUICK))
    assert_expected(caught.value, "broke")
    assert len(server.asked("PATCH", "state=x")) < 10


@pytest.mark.parametrize(("fault", "step", "times"), CASES)
def test_a_push_with(store: Store, image: Image, server: Registry, fault: str, step: str, times: int) -> None:
    row, target = FAULTS[fault], server.reference("team/app:v1")
    before = storage.content(store)
    server.faults.append(Fault(*STEPS[step], row.what, times))
    failed = None
    try:
        push(store, image, target, access=Access(retries=QUICK))
    except WherryError as error:
        failed = error
        assert len(server.log) < 60
        if not (isinstance(row.what, Lost | Relabel) and step == "name"):
            assert server.tags("team/app") == []
        storage.assert_nothing_half_written(store, before, kept=image)
    assert_expected(failed, row.once if times == 1 else row.always)
    server.faults.clear()
    there = dict(server.blobs)
    server.log.clear()
    digest = push(store, image, target, access=Access(retries=QUICK))
    assert remote.sha256(server.manifests["team/app", "v1"][1]) == digest
    assert len([item for item in server.asked("PUT", "state=x") if item.received]) <= 3 - len(there)
