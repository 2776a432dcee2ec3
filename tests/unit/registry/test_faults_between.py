"""Faults that go on from one request to the next: poisoned leftovers, tokens that end, other hosts; bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support import faulty, remote, storage
from support.faulty import QUICK, assert_expected
from support.remote import Made
from wherry.base.errors import Corrupt, Denied, WherryError
from wherry.layer import compress
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.registry import transport
from wherry.registry.access import Access
from wherry.registry.credentials import Credentials
from wherry.registry.pull import pull
from wherry.registry.push import push
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Before, Change, Drop, Fault, Redirect, Registry, Relabel, Stall

AMD64 = platforms.parse("linux/amd64")
SECRET = "s3cret of ann"


@cache
def _made() -> Made:
    """Its first layer is large enough to be kept when only a part of it came."""
    return remote.make({"big": random.Random(3).randbytes(3 << 20)}, {"b": b"2" * 3000})


def _big() -> str:
    return remote.sha256(_made().layers[0])


def _pull(store: Store, server: Registry, credentials: Credentials | None = None) -> Image:
    return pull(
        store, server.reference("app:v1"), AMD64, access=Access(credentials=credentials, retries=QUICK)
    )


def _refused(store: Store, server: Registry, pattern: str) -> None:
    with pytest.raises(WherryError) as caught:
        _pull(store, server)
    assert_expected(caught.value, pattern)


class TestKept:
    """A blob that broke off is taken up by the next pull, whatever it is that was kept."""

    def _break_off(
        self, store: Store, server: Registry, change: Callable[[bytes], bytes], after: int = 2 << 20
    ) -> None:
        """A pull that gets so many bytes of the large layer, changed, and no more; then all is well again."""
        changed = change(_made().layers[0])
        manifest = json.loads(_made().manifest)
        manifest["layers"][0]["size"] = len(changed)
        remote.publish(server, "app:v1", _made()._replace(manifest=json.dumps(manifest).encode()))
        server.blobs["app", _big()] = changed
        server.faults += [Fault("GET", _big(), Drop(after)), Fault("GET", _big(), Answer(503), times=100)]
        _refused(store, server, "answered 503")
        (left,) = store.partials.paths()
        assert Path(left).stat().st_size == after
        remote.publish(faulty.reset(server), "app:v1", _made())

    def test_it_is_taken_up(self, store: Store, server: Registry) -> None:
        self._break_off(store, server, lambda data: data)
        assert _pull(store, server).id == _made().id
        assert [item.headers.get("Range") for item in server.asked("GET", _big())] == [f"bytes={2 << 20}-"]
        assert store.partials.paths() == []

    def test_it_was_poisoned(self, store: Store, server: Registry) -> None:
        """Another registry, which lied, must not keep us from ever getting the true one."""
        self._break_off(store, server, lambda data: data[::-1])
        assert _pull(store, server).id == _made().id
        assert store.partials.paths() == []

    def test_the_true_one_has_another_size(self, store: Store, server: Registry) -> None:
        self._break_off(store, server, lambda data: data + data, after=5 << 20)
        assert _pull(store, server).id == _made().id

    @pytest.mark.parametrize(
        "headers",
        [
            (("Content-Range", "bytes 0-99/100"),),
            (("Content-Range", ""),),
            (("Content-Range", "bytes */5"),),
            (("Content-Length", "5"),),
        ],
        ids=lambda headers: str(headers[0]),
    )
    def test_the_part_is_another_one(
        self, store: Store, server: Registry, headers: tuple[tuple[str, str], ...]
    ) -> None:
        self._break_off(store, server, lambda data: data)
        server.faults.append(Fault("GET", _big(), Relabel(headers), times=100))
        try:
            assert _pull(store, server).id == _made().id
        except WherryError as error:
            assert_expected(error, "from byte|bytes for|of .* bytes")
        server.faults.clear()
        assert _pull(store, server).id == _made().id

    def test_the_server_has_no_such_range_any_more(self, store: Store, server: Registry) -> None:
        self._break_off(store, server, lambda data: data)
        server.faults.append(Fault("GET", _big(), Answer(416, (("Content-Range", "bytes */5"),))))
        try:
            assert _pull(store, server).id == _made().id
        except WherryError as error:
            assert_expected(error, "416")
        server.faults.clear()
        assert _pull(store, server).id == _made().id


class TestSilence:
    def test_it_counts_as_broken(
        self, store: Store, server: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "READ_SECONDS", 2.0)
        remote.publish(server, "app:v1", _made())
        server.faults.append(Fault("GET", _big(), Stall(2 << 20, 20)))
        assert _pull(store, server).id == _made().id
        first, *_, last = server.asked("GET", _big())
        assert (first.headers.get("Range"), "bytes=" in last.headers["Range"]) == (None, True)


class TestTokens:
    @pytest.fixture
    def guarded(self, image: Made, tmp_path: Path) -> Iterator[Registry]:
        with Registry("ann", SECRET, tokens=True) as registry:
            remote.publish(registry, "app:v1", image)
            yield registry

    @pytest.fixture
    def image(self) -> Made:
        return remote.make({"a": b"1"}, {"b": b"2"}, {"c": b"3"})

    def _known(self, tmp_path: Path, server: Registry) -> Credentials:
        path = tmp_path / "config.json"
        auth = {"auth": b64encode(f"ann:{SECRET}".encode()).decode()}
        path.write_text(json.dumps({"auths": {server.host: auth}}))
        return Credentials(str(path))

    @pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
    def test_they_end_in_the_middle_of_a_pull(
        self, store: Store, guarded: Registry, image: Made, tmp_path: Path, part: str
    ) -> None:
        guarded.faults.append(Fault("GET", part, Before(guarded.expire), times=2))
        assert _pull(store, guarded, self._known(tmp_path, guarded)).id == image.id
        assert 1 < len(guarded.issued) < 5

    @pytest.mark.parametrize(
        ("method", "part"),
        [("HEAD", "/blobs/"), ("POST", "/uploads/"), ("", "state=x"), ("PUT", "/manifests/")],
    )
    def test_they_end_in_the_middle_of_a_push(
        self, store: Store, guarded: Registry, image: Made, tmp_path: Path, method: str, part: str
    ) -> None:
        known = self._known(tmp_path, guarded)
        pulled = _pull(store, guarded, known)
        # The first look finds that there is no token yet: a request is asked for two at most.
        guarded.faults.append(Fault(method, part, Before(guarded.expire), skip=method == "HEAD"))
        target = guarded.reference("other:v1")
        assert push(store, pulled, target, access=Access(credentials=known, retries=QUICK)) == image.digest
        assert guarded.manifests["other", "v1"][1] == image.manifest

    def test_they_always_have_ended(
        self, store: Store, guarded: Registry, image: Made, tmp_path: Path
    ) -> None:
        before = storage.content(store)
        guarded.faults.append(Fault("GET", "/blobs/", Before(guarded.expire), times=1000))
        with pytest.raises(Denied, match="denies access"):
            _pull(store, guarded, self._known(tmp_path, guarded))
        assert len(guarded.log) < 30
        storage.assert_nothing_half_written(store, before)

    @pytest.mark.parametrize("part", ["/manifests/", "/blobs/", "/token"])
    def test_no_other_server_learns_who_we_are(
        self, store: Store, guarded: Registry, image: Made, tmp_path: Path, part: str
    ) -> None:
        """Also not one that sends us back: who comes from there is a stranger."""
        with Registry() as elsewhere:
            remote.publish(elsewhere, "app:v1", image)
            elsewhere.faults.append(Fault("GET", image.id, Redirect(guarded.url), times=100))
            guarded.faults.append(Fault("GET", part, Redirect(elsewhere.url), times=100))
            try:
                assert _pull(store, guarded, self._known(tmp_path, guarded)).id == image.id
            except WherryError as error:
                assert_expected(error, "login|denies|token|refused|redirects without end")
            assert elsewhere.log
            assert "Authorization" not in {name.title() for item in elsewhere.log for name in item.headers}
            assert not any("s3cret" in str(item) for item in elsewhere.log)


class _Bombs:
    """A tar with one file of zeros, as each compression has it: 16 MB of nothing in a few KB."""

    @staticmethod
    @cache
    def tar() -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:
            member = tarfile.TarInfo("zeros")
            member.size = 16_000_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        return target.getvalue()

    @staticmethod
    def zstd(data: bytes) -> bytes:
        target = bytearray()
        with compress.Compressing(target.extend, compress.ZSTD) as out:
            out.write(data)
            out.finish()
        return bytes(target)


@pytest.mark.parametrize("packed", [gzip.compress, _Bombs.zstd, lzma.compress, bz2.compress])
def test_a_bomb_in_a_layer(
    store: Store, server: Registry, packed: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_MAX_LAYER_SIZE", "1M")
    layer = packed(_Bombs.tar())
    assert len(layer) < 50_000
    made = _with_layer(layer, remote.sha256(_Bombs.tar()))
    remote.publish(server, "app:v1", made)
    before = storage.content(store)
    _refused(store, server, "more than 1048576 bytes of content")
    storage.assert_nothing_half_written(store, before)
    monkeypatch.delenv("WHERRY_MAX_LAYER_SIZE")
    assert _pull(store, server).id == made.id


def _with_layer(layer: bytes, diff_id: str) -> Made:
    made = remote.make({"a": b""}, diff_ids=[diff_id])
    manifest = json.loads(made.manifest) | {"layers": [remote.described(layer, media.LAYER_GZIP)]}
    return Made(json.dumps(manifest).encode(), made.config, (layer,), ())


def _lying(change: Callable[[dict[str, Any]], object]) -> Made:
    made = remote.make({"a": b"1" * 5000})
    manifest = json.loads(made.manifest)
    change(manifest)
    return made._replace(manifest=json.dumps(manifest).encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 1),
        ("size", 0),
        ("size", 1 << 62),
        ("size", 10**400),
        ("size", -1),
        ("size", 1.5),
        ("size", True),
        ("size", None),
        ("digest", "sha256:../../../../etc/passwd"),
        ("digest", "md5:" + "0" * 32),
        ("digest", "sha256:" + "A" * 64),
        ("digest", None),
        ("mediaType", 7),
        ("urls", ["file:///etc/passwd"]),
    ],
)
@pytest.mark.parametrize("where", ["config", "layer"])
def test_a_descriptor_that_lies(store: Store, server: Registry, where: str, key: str, value: object) -> None:
    def change(manifest: dict[str, Any]) -> None:
        (manifest["config"] if where == "config" else manifest["layers"][0])[key] = value

    made = _lying(change)
    remote.publish(server, "app:v1", made)
    before = storage.content(store)
    if key == "urls":
        assert _pull(store, server).id == made.id
        assert len(server.log) == 3
    else:
        with pytest.raises(WherryError) as caught:
            _pull(store, server)
        assert_expected(caught.value, ".")
        storage.assert_nothing_half_written(store, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(layers=manifest["layers"] * 5000), "5000 layers"),
        (lambda manifest: manifest.update(layers=None), "0 layers"),
        (lambda manifest: manifest.update(layers={}), "layers"),
        (lambda manifest: manifest.update(config=[]), "descriptor"),
        (lambda manifest: manifest.update(annotations={"a": 1}), "annotations"),
        (lambda manifest: manifest.update(mediaType=["x"]), "media type|mediaType"),
        (lambda manifest: manifest.update(schemaVersion=1), "schema 1"),
        (lambda manifest: manifest.update(manifests=[]), "both"),
    ],
)
def test_a_manifest_that_is_odd(
    store: Store, server: Registry, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    remote.publish(server, "app:v1", _lying(change))
    before = storage.content(store)
    _refused(store, server, message)
    storage.assert_nothing_half_written(store, before)


def test_a_layer_of_other_content_than_its_config_says(store: Store, server: Registry) -> None:
    """Both digests are right, but not of each other: a cache of layers by diff ID would be poisoned."""
    made = remote.make({"a": b"1"}, diff_ids=[remote.sha256(b"a layer that everybody has")])
    remote.publish(server, "app:v1", made)
    before = storage.content(store)
    _refused(store, server, "another digest")
    storage.assert_nothing_half_written(store, before)


def test_a_changed_answer_to_a_second_look(store: Store, server: Registry) -> None:
    """The tag moves while we pull: what was chosen first is what comes, or an error; never a mixture."""
    first, second = remote.make({"a": b"1"}, {"b": b"1"}), remote.make({"a": b"2"}, {"b": b"2"})
    remote.publish(server, "app:v1", first)
    server.faults.append(Fault("GET", first.id, Before(lambda: remote.publish(server, "app:v1", second))))
    assert _pull(store, server).id == first.id
    assert _pull(store, server).id == second.id


def test_a_compressed_document_is_no_document(store: Store, server: Registry) -> None:
    """We ask for no coding, and a bomb of a gigabyte of JSON is not unpacked."""
    remote.publish(server, "app:v1", _made())
    bomb = gzip.compress(bytes(30 << 20))
    answer = Answer(200, (("Content-Encoding", "gzip"), ("Content-Type", media.MANIFEST)), bomb)
    server.faults.append(Fault("GET", "/manifests/", answer))
    with pytest.raises(Corrupt, match="JSON"):
        _pull(store, server)
    assert server.log[0].headers["Accept-Encoding"] == "identity"


def test_endless_bodies_end(store: Store, server: Registry) -> None:
    """Without a length a document is read as far as documents may go, and an error's body not even that."""
    remote.publish(server, "app:v1", _made())
    server.faults.append(
        Fault("GET", "/manifests/", Change(lambda _: b"[" * (17 << 20), honest=False), times=1)
    )
    server.faults.append(Fault("GET", "/manifests/", Answer(404, (), b"x" * (17 << 20)), times=1))
    _refused(store, server, "bytes|broke|digest|JSON")
    server.faults.clear()
    server.faults.append(Fault("GET", "/manifests/", Answer(404, (), b"x" * (17 << 20)), times=1))
    _refused(store, server, "404")
