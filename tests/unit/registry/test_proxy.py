"""Which URLs are asked through a proxy, and what it is told."""

from __future__ import annotations

import pytest

from wherry.base.errors import WherryError
from wherry.registry.proxy import proxy_for


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_each_scheme_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://a.example/") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://one.example:3128")
    monkeypatch.setenv("all_proxy", "two.example:3128")
    for url, proxy in {
        "https://a.example/": "http://one.example:3128",
        "http://a.example/": "http://two.example:3128",
    }.items():
        found = proxy_for(url)
        assert found is not None
        assert (found.url, found.headers) == (proxy, ())


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "localhost:5000", True),
        ("", "127.0.0.2", True),
        ("", "[::1]:5000", True),
        ("a.example", "a.example", True),
        ("a.example", "a.example:5000", True),
        ("a.example", "b.a.example", True),
        (".a.example", "b.a.example", True),
        ("a.example", "ba.example", False),
        ("x, A.example ", "a.example", True),
        ("*", "a.example", True),
        ("10.1.2.3", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("fd00::/8", "[fd00::1]:443", True),
        ("10.0.0.0/8", "10.example", False),
        ("10.0.0.0/99, 10.0.0.0/8", "10.1.2.3", True),
    ],
)
def test_who_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, direct: bool
) -> None:
    monkeypatch.setenv("https_proxy", "http://one.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_for(f"https://{host}/v2/") is None) == direct


def test_a_user_is_in_the_headers_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://me:pass%40word@one.example:3128")
    found = proxy_for("https://a.example/")
    assert found is not None
    assert found.url == "https://one.example:3128"
    assert found.headers == (("Proxy-Authorization", "Basic bWU6cGFzc0B3b3Jk"),)
    assert "bWU6" not in repr(found)


@pytest.mark.parametrize("proxy", ["socks5://u:secret@x", "http://", "http://u:secret@", "://x"])
def test_what_is_no_proxy_is_not_printed(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(WherryError, match=r"the proxy for a\.example is not a URL") as caught:
        proxy_for("https://a.example/")
    assert "secret" not in caught.value.message
