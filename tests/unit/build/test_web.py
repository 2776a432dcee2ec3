"""Files from a real server on loopback: when they are fetched again, and what must not pass."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.repositories import serving
from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.base.events import Event, Transfer, ignore
from wherry.build.files import Files
from wherry.build.remote.web import Web
from wherry.build.remote.webfile import WebFile
from wherry.layer.entry import FILE
from wherry.registry.failures import Broken
from wherry.registry.transport import Retries
from wherry.store.store import Store

QUICK = Retries(attempts=3, first=0.001)
LONG_AGO = formatdate(1_000_000_000, usegmt=True)
CONTENT = b"0123456789" * 100_000


class Server(BaseHTTPRequestHandler):
    """What it has is set on a class of its own for each test."""

    content = CONTENT
    etag = ""
    modified = ""
    account = ""
    status = 200
    location = ""
    cut = 0
    """So many answers break off in the middle."""
    length = True
    log: list[str]

    def do_GET(self) -> None:
        kind = type(self)
        kind.log.append(f"{self.command} {self.headers.get('If-None-Match') or '-'}")
        expected = f"Basic {base64.b64encode(kind.account.encode()).decode()}"
        if kind.account and self.headers.get("Authorization") != expected:
            return self.head(401, b"")
        if kind.location:
            return self.head(302, b"")
        if kind.etag and self.headers.get("If-None-Match") == kind.etag:
            return self.head(304, b"")
        if kind.status != 200:
            return self.head(kind.status, b"sorry")
        self.head(200, kind.content)
        if self.command == "GET":
            if kind.cut:
                kind.cut -= 1
                self.wfile.write(kind.content[: len(kind.content) // 2])
            else:
                self.wfile.write(kind.content)
        return None

    do_HEAD = do_GET

    def head(self, status: int, content: bytes) -> None:
        kind = type(self)
        self.send_response(status)
        if kind.etag:
            self.send_header("ETag", kind.etag)
        if kind.modified:
            self.send_header("Last-Modified", kind.modified)
        if kind.location:
            self.send_header("Location", kind.location)
        if kind.length and status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def server(**settings: object) -> type[Server]:
    return type("Here", (Server,), {"log": [], **settings})


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def web(store: Store) -> Iterator[Callable[[], Web]]:
    """`web()` is what a build has: each call is another build on the same store."""
    made: list[Web] = []

    def make() -> Web:
        made.append(Web(store, ignore, QUICK))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert os.listdir(store.path("tmp")) == []


def content_of(found: WebFile) -> bytes:
    (name,) = found.names("")
    with found.open(name) as descriptor:
        return os.read(descriptor, 1 << 30)


def test_a_file_as_a_tree(web: Callable[[], Web]) -> None:
    with serving(server()) as address:
        found: Files = web().fetch(f"{address}/d/%C3%A4%20b.txt?x=1#y", "", 3)
    assert found.names("") == ["ä b.txt"]
    (entry,) = found.walk("")
    assert found.lookup("ä b.txt") == entry
    assert (entry.kind, entry.mode, entry.size, entry.digest) == (
        FILE,
        0o600,
        len(CONTENT),
        hashlib.sha256(CONTENT).digest(),
    )
    assert found.hash_file("ä b.txt") == entry.digest
    assert found.lookup("other") is None


def test_progress(store: Store) -> None:
    events: list[Event] = []
    with serving(server()) as address:
        Web(store, events.append).fetch(f"{address}/file", "", 7)
    seen = [event for event in events if isinstance(event, Transfer)]
    assert seen[-1] == Transfer(7, "file", len(CONTENT), len(CONTENT))


def test_what_is_unchanged_is_not_fetched_again(web: Callable[[], Web]) -> None:
    handler = server(etag='"one"')
    with serving(handler) as address:
        assert web().digest(f"{address}/f") is None
        web().fetch(f"{address}/f", "", 0)
        handler.log.clear()
        again = web()
        assert again.digest(f"{address}/f") == sha256(CONTENT)
        assert content_of(again.fetch(f"{address}/f", "", 0)) == CONTENT
        assert len(handler.log) == 1
        assert web().digest(f"{address}/g") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"etag": '"one"'}, {"etag": '"two"'}),
        ({"etag": '"one"', "modified": LONG_AGO}, {"etag": "", "modified": LONG_AGO}),
        ({"modified": LONG_AGO}, {"modified": LONG_AGO}),
        ({}, {}),
        ({"etag": 'W/"one"', "modified": LONG_AGO}, {"etag": 'W/"one"', "modified": LONG_AGO}),
    ],
)
def test_what_may_have_changed_is_fetched_again(
    web: Callable[[], Web], before: dict[str, object], after: dict[str, object]
) -> None:
    handler = server(**before)
    with serving(handler) as address:
        web().fetch(f"{address}/f", "", 0)
        handler.content = bytes(reversed(CONTENT))  # as long as before
        for name, value in after.items():
            setattr(handler, name, value)
        again = web()
        assert again.digest(f"{address}/f") is None
        assert content_of(again.fetch(f"{address}/f", "", 0)) == handler.content


def test_what_is_kept_under_a_checksum_is_not_what_the_url_has_now(web: Callable[[], Web]) -> None:
    handler = server()
    with serving(handler) as address:
        web().fetch(f"{address}/f", "", 0)
        handler.content = b"changed"
        build = web()
        assert content_of(build.fetch(f"{address}/f", sha256(CONTENT), 0)) == CONTENT
        assert content_of(build.fetch(f"{address}/f", "", 0)) == b"changed"


def test_urls_that_were_fetched_are_known(web: Callable[[], Web]) -> None:
    with serving(server()) as address:
        assert not web().was_fetched(f"{address}/f")
        web().fetch(f"{address}/f", "", 0)
        assert web().was_fetched(f"{address}/f")
        assert not web().was_fetched(f"{address}/f?2")


def test_one_build_sees_one_file(web: Callable[[], Web]) -> None:
    handler = server()
    with serving(handler) as address:
        build = web()
        build.fetch(f"{address}/f", "", 0)
        handler.content = b"changed"
        assert content_of(build.fetch(f"{address}/f", "", 0)) == CONTENT


def test_checksums(web: Callable[[], Web], store: Store) -> None:
    handler = server()
    with serving(handler) as address:
        with pytest.raises(Corrupt, match=f"has the checksum {sha256(CONTENT)}, not sha256:0000"):
            web().fetch(f"{address}/f", f"sha256:{'0' * 64}", 0)
        assert not os.path.exists(store.path("cache", "http")) or not os.listdir(store.path("cache", "http"))
        assert content_of(web().fetch(f"{address}/f", sha256(CONTENT), 0)) == CONTENT
    # nobody is there any more
    assert content_of(web().fetch(f"{address}/f", sha256(CONTENT), 0)) == CONTENT
    assert content_of(web().fetch("http://h.invalid/other", sha256(CONTENT), 0)) == CONTENT


def test_what_is_kept_is_checked(web: Callable[[], Web], store: Store) -> None:
    handler = server(etag='"one"')
    with serving(handler) as address:
        kept = Path(web().fetch(f"{address}/f", "", 0).path)
        kept.chmod(0o600)
        kept.write_bytes(CONTENT[:-1] + b"!")
        assert content_of(web().fetch(f"{address}/f", "", 0)) == CONTENT
        kept.unlink()
        assert content_of(web().fetch(f"{address}/f", sha256(CONTENT), 0)) == CONTENT
        for memory in Path(store.path("cache", "http")).glob("*.json"):
            memory.write_text('{"digest": 1}')
        assert web().digest(f"{address}/f") is None


def test_a_transfer_that_breaks_off_is_begun_anew(web: Callable[[], Web]) -> None:
    handler = server(cut=2)
    with serving(handler) as address:
        assert content_of(web().fetch(f"{address}/f", "", 0)) == CONTENT
        assert len(handler.log) == 3
        handler.cut = 3
        with pytest.raises(Broken):
            web().fetch(f"{address}/g", "", 0)


def test_a_file_that_is_too_large(web: Callable[[], Web], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_MAX_LAYER_SIZE", "100K")
    for length in (True, False):
        with (
            serving(server(length=length)) as address,
            pytest.raises(Corrupt, match="more than 102400 bytes"),
        ):
            web().fetch(f"{address}/f", "", 0)


def with_account(address: str, account: str) -> str:
    return address.replace("://", f"://{account}@")


def test_user_and_password(web: Callable[[], Web]) -> None:
    with serving(server(account="me:p@ss/word", etag='"one"')) as address:
        good = with_account(address, "me:p%40ss%2Fword")
        found = web().fetch(f"{good}/f", "", 0)
        assert content_of(found) == CONTENT
        assert found.label == f"{with_account(address, 'xxxxx')}/f"
        assert web().digest(f"{good}/f") == sha256(CONTENT)
        for wrong in (address, with_account(address, "me:s3cret"), with_account(address, "me:s3@cret")):
            with pytest.raises(Denied, match="was answered with 401") as error:
                web().fetch(f"{wrong}/f", "", 0)
            assert "cret" not in f"{error.value} {error.value.hint}"


def test_a_password_is_in_no_error(web: Callable[[], Web]) -> None:
    for url in ("http://me:s3cret@127.0.0.1:1/f", "http://me:s3cret@h.invalid/f", "http://me:s3cret@/f"):
        with pytest.raises(WherryError) as error:
            web().fetch(url, "", 0)
        assert "s3cret" not in f"{error.value} {error.value.hint}"


@contextmanager
def redirecting(account: str = "") -> Iterator[tuple[str, type[Server], list[str]]]:
    """A server that redirects to another one; that one's authorizations are listed."""
    heard: list[str] = []

    class Other(server()):  # type: ignore[misc]
        def do_GET(self) -> None:
            heard.append(self.headers.get("Authorization") or "")
            super().do_GET()

    with serving(Other) as other:
        first = server(location=f"{other}/else", account=account)
        with serving(first) as address:
            yield address, first, heard


def test_redirects(web: Callable[[], Web]) -> None:
    with redirecting() as (address, _, _heard):
        found = web().fetch(f"{address}/named.txt", "", 0)
        assert content_of(found) == CONTENT
        assert found.names("") == ["named.txt"]


def test_a_redirect_to_another_server_gets_no_password(web: Callable[[], Web]) -> None:
    with redirecting("me:s3cret") as (address, first, heard):
        assert content_of(web().fetch(f"{with_account(address, 'me:s3cret')}/f", "", 0)) == CONTENT
        assert len(first.log) == 1
        assert heard == [""]


def test_redirects_without_end(web: Callable[[], Web]) -> None:
    handler = server()
    with serving(handler) as address:
        handler.location = f"{address}/again"
        with pytest.raises(WherryError, match="redirects without end"):
            web().fetch(f"{address}/f", "", 0)
        for location in ("file:///etc/passwd", "ftp://h/f", "gopher://x"):
            handler.location = location
            with pytest.raises(WherryError, match="redirects to something that is no URL"):
                web().fetch(f"{address}/f", "", 0)


def test_answers_that_are_no_file(web: Callable[[], Web]) -> None:
    handler = server(status=404)
    with serving(handler) as address:
        with pytest.raises(NotFound, match=r"/f was answered with 404 \(Not Found\)"):
            web().fetch(f"{address}/f", "", 0)
        for status in (500, 403, 204, 206):
            handler.status = status
            with pytest.raises(WherryError, match=f"was answered with {status}"):
                web().fetch(f"{address}/f", "", 0)


@pytest.mark.parametrize(
    "url", ["http://", "http:///f", "http://[::1/f", "http://h:99999999/f", "http://h:x/f"]
)
def test_urls_that_are_none(web: Callable[[], Web], url: str) -> None:
    with pytest.raises(WherryError, match="not a URL that can be asked"):
        web().fetch(url, "", 0)
