"""certs.d: which folder counts for a host, and that a key is shown to its host alone."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from support.tls import Authority
from wherry.base.errors import Corrupt, WherryError
from wherry.registry import certificates
from wherry.registry.certificates import Settings, Trust
from wherry.registry.failures import Untrusted
from wherry.registry.transport import Retries, Transport

ONCE = Retries(attempts=1)

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.sign("server", "127.0.0.1", "localhost")
    made.sign("client")
    return made


class _Server:
    """Speaks TLS, and asks clients for a certificate that it can do without; `seen` are those it was shown.

    A GET of /to/HOST:PORT is sent on to there.
    """

    def __init__(self, authority: Authority) -> None:
        self.seen: list[bool] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert isinstance(self.connection, ssl.SSLSocket)
                seen.append(bool(self.connection.getpeercert()))
                self.send_response(302 if self.path.startswith("/to/") else 200)
                if self.path.startswith("/to/"):
                    self.send_header("Location", f"https://{self.path.removeprefix('/to/')}/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.folder / "server.cert", authority.folder / "server.key")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(authority.certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers(authority: Authority) -> Iterator[tuple[_Server, _Server]]:
    both = _Server(authority), _Server(authority)
    yield both
    for server in both:
        server.stop()


def _folder(place: Path, host: str, authority: Authority, client: bool = False) -> Path:
    folder = place / host
    folder.mkdir(parents=True)
    shutil.copy(authority.certificate, folder / "ca.crt")
    if client:
        for name in ("client.cert", "client.key"):
            shutil.copy(authority.folder / name, folder / name)
    return folder


def _trust(*places: Path) -> Trust:
    return Trust(lambda _: False, [str(place) for place in places])


def _get(trust: Trust, url: str) -> None:
    Transport(ONCE, trust=trust).request("GET", url, {}).close()


def test_a_key_is_shown_to_its_host_alone(
    servers: tuple[_Server, _Server], authority: Authority, tmp_path: Path
) -> None:
    """Also where that host sends us on to another one that is trusted and asks for a certificate too."""
    one, two = servers
    _folder(tmp_path, one.host, authority, client=True)
    _folder(tmp_path, two.host, authority)
    _get(_trust(tmp_path), f"https://{one.host}/to/{two.host}")
    assert (one.seen, two.seen) == ([True], [False])
    _get(_trust(tmp_path), f"https://{two.host}/to/{one.host}")
    assert (one.seen, two.seen) == ([True, True], [False, False])


def test_an_authority_is_for_its_host_alone(
    servers: tuple[_Server, _Server], authority: Authority, tmp_path: Path
) -> None:
    one, two = servers
    _folder(tmp_path, one.host, authority)
    _get(_trust(tmp_path), f"https://{one.host}/")
    with pytest.raises(Untrusted, match=f"{two.host} has a certificate that is not trusted"):
        _get(_trust(tmp_path), f"https://{one.host}/to/{two.host}")
    assert two.seen == []


def test_an_unverified_host_sees_the_key_too(
    servers: tuple[_Server, _Server], authority: Authority, tmp_path: Path
) -> None:
    """The certificate says who we are, not who they are: docker and podman show it as well."""
    one, two = servers
    _folder(tmp_path, one.host, authority, client=True)
    _get(Trust(lambda _: True, [str(tmp_path)]), f"https://{one.host}/to/{two.host}")
    assert (one.seen, two.seen) == ([True], [False])


def test_the_first_folder_counts(authority: Authority, tmp_path: Path) -> None:
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    _folder(yours, "a.example:5000", authority, client=True)
    settings = _trust(mine, yours).of("a.example:5000")
    assert settings == Settings(
        False,
        (f"{yours}/a.example:5000/ca.crt",),
        ((f"{yours}/a.example:5000/client.cert", f"{yours}/a.example:5000/client.key"),),
    )
    _folder(mine, "a.example:5000", authority)
    assert _trust(mine, yours).of("a.example:5000") == Settings(False, (f"{mine}/a.example:5000/ca.crt",))
    assert _trust(mine, yours).of("a.example") == Settings()


@pytest.mark.parametrize("host", ["..", ".", "a/../b", "", "x/"])
def test_a_host_is_no_path(authority: Authority, tmp_path: Path, host: str) -> None:
    """A redirect may say anything."""
    _folder(tmp_path, "b", authority)
    shutil.copy(authority.certificate, tmp_path / "ca.crt")
    assert _trust(tmp_path, tmp_path / "a").of(host) == Settings()


def test_where_folders_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert certificates.folders() == (
        "/home/me/.config/containers/certs.d",
        "/home/me/.docker/certs.d",
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", "/settings")
    assert certificates.folders()[0] == "/settings/containers/certs.d"


def test_loopback_goes_unverified_until_there_is_an_authority(authority: Authority, tmp_path: Path) -> None:
    trust = Trust(lambda _: None, [str(tmp_path)])
    assert trust.of("localhost:5000").unverified
    assert not trust.of("a.example").unverified
    _folder(tmp_path, "localhost:5001", authority)
    assert not trust.of("localhost:5001").unverified


@pytest.mark.parametrize("name", ["client.cert", "client.key"])
def test_halves_of_a_pair(authority: Authority, tmp_path: Path, name: str) -> None:
    folder = _folder(tmp_path, "a.example", authority, client=True)
    (folder / name).unlink()
    with pytest.raises(WherryError, match=f"{name} is missing"):
        _trust(tmp_path).of("a.example")


def test_what_is_no_certificate(authority: Authority, tmp_path: Path) -> None:
    folder = _folder(tmp_path, "a.example", authority, client=True)
    settings = _trust(tmp_path).of("a.example")
    (folder / "client.key").write_text("not PEM")
    with pytest.raises(Corrupt, match=r"client\.key cannot be used") as caught:
        certificates.context(settings)
    assert "PEM" in caught.value.hint
    (folder / "client.key").unlink()
    with pytest.raises(WherryError, match=r"cannot read .*client\.key"):
        certificates.context(settings)


def test_a_key_with_a_password_is_not_asked_for(authority: Authority, tmp_path: Path) -> None:
    """OpenSSL would ask the terminal, and hang where nobody is."""
    folder = _folder(tmp_path, "a.example", authority, client=True)
    plain, locked = authority.folder / "client.key", folder / "client.key"
    command = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        str(plain),
        "-out",
        str(locked),
        "-passout",
        "pass:secret",
    ]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(Corrupt, match=r"client\.key cannot be used"):
        certificates.context(_trust(tmp_path).of("a.example"))
