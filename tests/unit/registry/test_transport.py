"""TLS, proxies and retries, by real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from support import tls
from wherry.base.errors import WherryError
from wherry.registry.failures import Unreachable
from wherry.registry.transport import Retries, Transport
from wherry.testing.registry import Answer, Drop, Fault, Registry

QUICK = Retries(attempts=3, first=0.001)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, signed by itself, with its key behind it."""
    return tls.certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    """The address of a server that speaks TLS."""
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    server.socket = tls.context(certificate).wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.needs("openssl")
def test_only_trusted_certificates(secure: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="certificate that is not trusted") as caught:
        Transport(QUICK).request("GET", secure, {})
    assert "SSL_CERT_FILE" in caught.value.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Transport(QUICK).request("GET", secure, {}) as response:
        assert response.body(100) == b"hello"


def test_a_plain_server_behind_https() -> None:
    with Registry() as registry, pytest.raises(Unreachable, match="does not speak TLS") as caught:
        Transport(QUICK).request("GET", f"https://{registry.host}/v2/", {})
    assert "loopback" in caught.value.hint


def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with (
        Registry() as registry,
        Transport(QUICK).request("GET", f"http://{registry.host}/v2/", {}) as response,
    ):
        assert response.status == 200


def test_a_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry() as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy.host}")
        with pytest.raises(Unreachable, match=r"cannot reach registry\.invalid through the proxy"):
            Transport(QUICK).request("GET", "https://registry.invalid/v2/", {})
        monkeypatch.setenv("no_proxy", ".invalid")
        with pytest.raises(Unreachable, match="its name is not known"):
            Transport(QUICK).request("GET", "https://registry.invalid/v2/", {})


@pytest.mark.parametrize("proxy", ["socks5://x", "http://[", "://"])
def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(WherryError, match="proxy"):
        Transport(QUICK).request("GET", "https://registry.invalid/v2/", {})


def test_requests_are_tried_as_often_as_said() -> None:
    with Registry() as registry:
        registry.faults.append(Fault("GET", "/v2/", Answer(503), times=100))
        with Transport(QUICK).request("GET", f"http://{registry.host}/v2/", {}) as response:
            assert response.status == 503
        assert len(registry.log) == 3
        with Transport(QUICK).request("GET", f"http://{registry.host}/v2/", {}, attempts=1) as response:
            assert response.status == 503
        assert len(registry.log) == 4


def test_a_connection_that_was_cut_is_not_used_again() -> None:
    with Registry() as registry:
        transport = Transport(QUICK)
        for _ in range(3):
            registry.faults.append(Fault("GET", "/v2/", Drop(0)))
            with transport.request("GET", f"http://{registry.host}/v2/", {}) as response:
                assert response.status == 200
        with transport.request("GET", f"http://{registry.host}/v2/", {}) as response:
            assert response.body(10) == b"{}"


def test_pauses_grow_and_are_bounded() -> None:
    retries = Retries(attempts=9, first=1, longest=10)
    pauses = [retries.pause(attempt) for attempt in range(1, 9)]
    assert 0.8 <= pauses[0] <= 1.2
    assert 1.6 <= pauses[1] <= 2.4
    assert pauses[-1] == retries.pause(1, asked=1e9) == 10
    assert retries.pause(1, asked=5) == 5
