"""Who is let in, and to whom credentials are shown."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ports, remote
from support.remote import Made
from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.oci import platform as platforms
from wherry.registry import mirrors
from wherry.registry.access import Access
from wherry.registry.auth import Authority
from wherry.registry.config import Registries
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.login import login
from wherry.registry.pull import pull
from wherry.registry.push import push
from wherry.registry.transport import Retries, Transport
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Change, Fault, Registry

AMD64 = platforms.parse("linux/amd64")
QUICK = Retries(attempts=2, first=0.001)
SECRET = "s3cret:with colon"


@pytest.fixture(params=[False, True], ids=["basic", "tokens"])
def server(request: pytest.FixtureRequest) -> Iterator[Registry]:
    with Registry("ann", SECRET, tokens=request.param) as registry:
        yield registry


@pytest.fixture
def image() -> Made:
    return remote.make({"a": b"1"}, {"b": b"2"}, {"c": b"3"})


def _known(tmp_path: Path, host: str, password: str = SECRET, **more: str) -> Credentials:
    auth = {"auth": b64encode(f"ann:{password}".encode()).decode(), **more}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {host: auth}}))
    return Credentials(str(path))


def _pull(store: Store, server: Registry, credentials: Credentials) -> Image:
    return pull(
        store, server.reference("app:v1"), AMD64, access=Access(credentials=credentials, retries=QUICK)
    )


def test_known_users_are_let_in(store: Store, server: Registry, image: Made, tmp_path: Path) -> None:
    remote.publish(server, "app:v1", image)
    credentials = _known(tmp_path, server.host)
    pulled = _pull(store, server, credentials)
    assert pulled.id == image.id
    target = server.reference("other/place:v2")
    assert push(store, pulled, target, access=Access(credentials=credentials, retries=QUICK)) == image.digest
    assert server.manifests["other/place", "v2"][1] == image.manifest


def test_one_token_for_a_whole_pull(store: Store, image: Made, tmp_path: Path) -> None:
    with Registry("ann", SECRET, tokens=True) as server:
        remote.publish(server, "app:v1", image)
        _pull(store, server, _known(tmp_path, server.host))
        assert len(server.issued) == 1
        assert len(server.asked("GET", "/manifests/")) == 2


def test_a_token_that_ran_out_is_renewed(store: Store, image: Made, tmp_path: Path) -> None:
    with Registry("ann", SECRET, tokens=True, lifetime=0.0) as server:
        remote.publish(server, "app:v1", image)
        with pytest.raises(Denied):
            _pull(store, server, _known(tmp_path, server.host))
        server.lifetime = 60.0
        server.faults.append(Fault("GET", "/blobs/", Answer(401, _challenge(server)), times=1))
        _pull(store, server, _known(tmp_path, server.host))


def _challenge(server: Registry) -> tuple[tuple[str, str], ...]:
    return (("WWW-Authenticate", f'Bearer realm="http://{server.host}/token",service="tests"'),)


def test_an_identity_token_is_traded(store: Store, image: Made, tmp_path: Path) -> None:
    with Registry("ann", SECRET, tokens=True) as server:
        remote.publish(server, "app:v1", image)
        server.identity_token = "identity"
        credentials = _known(tmp_path, server.host, password="wrong", identitytoken="identity")
        assert _pull(store, server, credentials).id == image.id
        assert [item.headers.get("Authorization") for item in server.asked("POST", "/token")] == [None]


def test_strangers_and_wrong_passwords(store: Store, server: Registry, image: Made, tmp_path: Path) -> None:
    remote.publish(server, "app:v1", image)
    with pytest.raises(Denied, match=f"{server.host} asks for a login") as caught:
        _pull(store, server, Credentials(str(tmp_path / "none.json")))
    assert caught.value.hint == f"run `wherry login {server.host}` first"
    with pytest.raises(Denied, match=f"{server.host} refused the credentials") as caught:
        _pull(store, server, _known(tmp_path, server.host, "no!pe"))
    assert "no!pe" not in str(caught.value) + caught.value.hint
    assert store.images.all() == []


def test_what_even_a_token_does_not_open(store: Store, tmp_path: Path) -> None:
    """Docker's hub answers so for what does not exist: the same word for both, and no endless asking."""
    with Registry("ann", SECRET, tokens=True) as server:
        server.faults.append(Fault("GET", "/manifests/", Answer(401, _challenge(server)), times=100))
        with pytest.raises(Denied, match="it does not exist, or asks for a login"):
            _pull(store, server, _known(tmp_path, server.host))
        assert len(server.issued) == 2


def test_credentials_are_for_one_registry(store: Store, server: Registry, tmp_path: Path) -> None:
    with pytest.raises(Denied, match="asks for a login"):
        _pull(store, server, _known(tmp_path, "127.0.0.1:1"))


def test_no_credential_follows_a_redirect(
    store: Store, server: Registry, image: Made, tmp_path: Path
) -> None:
    """Blobs often lie on another host; that one must not learn who we are, even where it asks for it."""
    remote.publish(server, "app:v1", image)
    with Registry() as elsewhere:
        remote.publish(elsewhere, "app:v1", image)
        for layer in image.layers:
            place = f"/v2/app/blobs/{remote.sha256(layer)}"
            moved = Answer(307, (("Location", f"http://{elsewhere.host}{place}"),))
            server.faults.append(Fault("GET", place, moved, times=100))
        assert _pull(store, server, _known(tmp_path, server.host)).id == image.id
        assert len(elsewhere.log) == len(image.layers)
        assert not any("Authorization" in item.headers for item in elsewhere.log)


def test_a_foreign_challenge_is_not_answered(
    store: Store, server: Registry, image: Made, tmp_path: Path
) -> None:
    remote.publish(server, "app:v1", image)
    with Registry("ann", SECRET, tokens=server.tokens) as elsewhere:
        place = f"/v2/app/blobs/{remote.sha256(image.layers[0])}"
        moved = Answer(307, (("Location", f"http://{elsewhere.host}{place}"),))
        server.faults.append(Fault("GET", place, moved, times=100))
        with pytest.raises(Denied):
            _pull(store, server, _known(tmp_path, server.host))
        assert elsewhere.log
        assert not any("Authorization" in item.headers for item in elsewhere.log)


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer service=x",
        'Bearer realm="ftp://x/"',
        'Bearer realm="/token"',
        "Bearer",
        'Bearer realm="https:///"',
    ],
)
def test_challenges_without_a_token_server(store: Store, tmp_path: Path, challenge: str) -> None:
    with Registry() as server:
        server.faults.append(Fault("GET", "/v2/", Answer(401, (("WWW-Authenticate", challenge),)), times=9))
        with pytest.raises(Corrupt, match="names no server"):
            _pull(store, server, _known(tmp_path, server.host))


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"token": 5}', b'{"token": "a\\nInjected: b"}'])
def test_token_servers_that_talk_nonsense(store: Store, tmp_path: Path, body: bytes) -> None:
    with Registry("ann", SECRET, tokens=True) as server:
        server.faults.append(Fault("GET", "/token", Answer(200, (), body)))
        with pytest.raises(Corrupt):
            _pull(store, server, _known(tmp_path, server.host))


def test_login_keeps_what_works(server: Registry, tmp_path: Path) -> None:
    keep = Credentials(str(tmp_path / "config.json"))
    with pytest.raises(Denied, match="refused the credentials"):
        login(server.host, Credential("ann", "wrong"), keep, retries=QUICK)
    assert not (tmp_path / "config.json").exists()
    assert login(server.host, Credential("ann", SECRET), keep, retries=QUICK) == keep.path
    assert keep.get(server.host) == Credential("ann", SECRET)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(200, (("Content-Type", "text/html"),), b"<html>"), "with a web page"),
        (Answer(404), "answered 404 to a login"),
        (Answer(500), "answered 500 to a login"),
    ],
)
def test_login_to_what_is_no_registry(tmp_path: Path, answer: Answer, message: str) -> None:
    keep = Credentials(str(tmp_path / "config.json"))
    with Registry() as server:
        server.faults.append(Fault("GET", "/v2/", answer, times=9))
        with pytest.raises(WherryError, match=message):
            login(server.host, Credential("ann", "pw"), keep, retries=QUICK)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    "headers",
    [
        ('Basic realm="x"', "{bearer}"),
        ("Negotiate", 'Digest realm="x", nonce="y", Basic realm="x", {bearer}'),
        ('Basic realm="x", {bearer}, Negotiate YII=',),
    ],
)
def test_tokens_are_preferred_wherever_they_are_offered(
    store: Store, image: Made, tmp_path: Path, headers: tuple[str, ...]
) -> None:
    """A token is good for a few things and minutes; a password for all and for ever."""
    with Registry("ann", SECRET, tokens=True) as server:
        remote.publish(server, "app:v1", image)
        bearer = _challenge(server)[0][1]
        asked = tuple(("WWW-Authenticate", header.format(bearer=bearer)) for header in headers)
        server.faults.append(Fault("GET", "/manifests/", Answer(401, asked)))
        assert _pull(store, server, _known(tmp_path, server.host)).id == image.id
        sent = [item.headers.get("Authorization", "") for item in server.log if item.path.startswith("/v2/")]
        assert not [header for header in sent if header.startswith("Basic")]


def test_a_way_to_log_in_that_we_do_not_know(store: Store, tmp_path: Path) -> None:
    with Registry() as server:
        asked = (("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", 'Digest realm="x"'))
        server.faults.append(Fault("GET", "/manifests/", Answer(401, asked), times=9))
        with pytest.raises(Denied, match="asks for a login by Negotiate, Digest, which is not supported"):
            _pull(store, server, _known(tmp_path, server.host))


def test_a_token_is_renewed_before_it_is_of_no_use(store: Store, image: Made, tmp_path: Path) -> None:
    """An upload that is refused for its token would have to be sent again."""
    with Registry("ann", SECRET, tokens=True) as server:
        remote.publish(server, "app:v1", image)
        transport = Transport(QUICK, trust=mirrors.trust(Registries()))
        scopes = ["repository:app:pull"]
        authority = Authority(server.host, "app", scopes, transport, _known(tmp_path, server.host))
        server.faults.append(Fault("GET", "/token", Change(lambda body: body.replace(b"300", b"1"))))
        assert authority.answer([_challenge(server)[0][1]], "")
        first = authority.header()
        ports.until(lambda: authority.header() != first)
        assert authority.header().startswith("Bearer ")
        assert len(server.asked("GET", "/token")) == 2


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_401_in_the_middle_of_a_push(
    store: Store, server: Registry, image: Made, tmp_path: Path, method: str
) -> None:
    """What was being sent is sent again, whole."""
    remote.publish(server, "app:v1", image)
    credentials = _known(tmp_path, server.host)
    pulled = _pull(store, server, credentials)
    asked = _challenge(server) if server.tokens else (("WWW-Authenticate", 'Basic realm="tests"'),)
    target = server.reference("other/place:v2")
    server.faults.append(Fault(method, "/blobs/uploads/", Answer(401, asked)))
    if server.tokens:
        assert (
            push(store, pulled, target, access=Access(credentials=credentials, retries=QUICK)) == image.digest
        )
    else:
        with pytest.raises(Denied, match="refused the credentials"):
            push(store, pulled, target, access=Access(credentials=credentials, retries=QUICK))


def test_what_a_server_repeats_is_not_printed(store: Store, server: Registry, tmp_path: Path) -> None:
    """Some registries and proxies write a request's headers into their errors."""
    credentials = _known(tmp_path, server.host)
    basic = b64encode(f"ann:{SECRET}".encode()).decode()
    repeated = f"no: {SECRET} and {basic}"
    answer = Answer(403, (), json.dumps({"errors": [{"message": repeated}], "details": repeated}).encode())
    asked = Answer(401, _challenge(server) if server.tokens else (("WWW-Authenticate", "Basic"),))
    place = "/token" if server.tokens else "/manifests/"
    server.faults += [Fault("GET", "/manifests/", asked), Fault("GET", place, answer, times=9)]
    with pytest.raises(Denied, match=r"no: \*\*\* and \*\*\*"):
        _pull(store, server, credentials)


def test_a_token_that_a_registry_repeats_is_not_printed(store: Store, tmp_path: Path) -> None:
    with Registry("ann", SECRET, tokens=True) as server:
        credentials = _known(tmp_path, server.host)

        def repeat(body: bytes) -> bytes:
            del body
            return json.dumps({"errors": [{"message": f"no: {[*server.issued][-1]}"}]}).encode()

        server.faults += [Fault("GET", "/manifests/", Answer(401, _challenge(server)))]
        server.faults += [Fault("GET", "/manifests/", Change(repeat), times=9)]
        with pytest.raises(NotFound, match=r"no: \*\*\*$"):
            _pull(store, server, credentials)


def test_a_login_keeps_what_the_token_server_gives(tmp_path: Path) -> None:
    with Registry("ann", SECRET, tokens=True) as server:
        more = Change(lambda body: body.replace(b"}", b', "refresh_token": "idtoken"}'))
        server.faults.append(Fault("GET", "/token", more))
        keep = Credentials(str(tmp_path / "config.json"))
        login(server.host, Credential("ann", SECRET), keep, retries=QUICK)
        assert keep.get(server.host) == Credential("ann", identity_token="idtoken")
        (asked,) = server.asked("GET", "/token")
        assert "offline_token=true" in asked.path
        assert SECRET not in (tmp_path / "config.json").read_text()


def test_an_identity_token_may_be_replaced(store: Store, image: Made, tmp_path: Path) -> None:
    """A server that gives a new one with every token takes the old one back (RFC 6749, 6)."""
    with Registry("ann", SECRET, tokens=True) as server:
        remote.publish(server, "app:v1", image)
        server.identity_token = "first"
        known = _known(tmp_path, server.host, password="", identitytoken="first")
        transport = Transport(QUICK, trust=mirrors.trust(Registries()))
        authority = Authority(server.host, "app", (), transport, known)
        more = Change(lambda body: body.replace(b"}", b', "refresh_token": "second"}'))
        server.faults.append(Fault("POST", "/token", more))
        assert authority.answer([_challenge(server)[0][1]], "")
        server.identity_token = "second"
        assert authority.answer([_challenge(server)[0][1]], authority.header())
        assert authority.header() == f"Bearer {[*server.issued][-1]}"
