"""Names of registries, and where they answer."""

from __future__ import annotations

import pytest

from wherry.base.errors import UsageError, WherryError
from wherry.registry.hosts import host_of, is_loopback, origin, registry_of
from wherry.registry.transport import Transport


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("quay.io", False),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("[::1]:5000", True),
        ("[2001:db8::1]:5000", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com:5000", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_the_hub_answers_at_another_host() -> None:
    assert (host_of("docker.io"), host_of("quay.io")) == ("registry-1.docker.io", "quay.io")


@pytest.mark.parametrize(
    ("server", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://quay.io/v2/", "quay.io"),
    ],
)
def test_servers_of_a_login(server: str, registry: str) -> None:
    assert registry_of(server) == registry


@pytest.mark.parametrize("server", ["", "a b", "-x", "host:port", "user@host"])
def test_what_is_no_server(server: str) -> None:
    with pytest.raises(UsageError, match="not a registry"):
        registry_of(server)


def test_origins_differ_by_scheme_host_and_port() -> None:
    assert origin("https://A.example/x") == origin("https://a.example:443/y")
    assert origin("http://a.example") != origin("https://a.example")
    assert origin("http://a.example:81") != origin("http://a.example")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/x", "https://r.example/v2/x"),
        ("../y", "https://r.example/y"),
        ("https://cdn.example/b?sig=1", "https://cdn.example/b?sig=1"),
    ],
)
def test_redirects(location: str, target: str) -> None:
    assert Transport().redirected("https://r.example/v2/a", location) == target


@pytest.mark.parametrize("location", ["http://r.example/x", "ftp://r.example/x", "https://[", "file:///etc"])
def test_refused_redirects(location: str) -> None:
    with pytest.raises(WherryError, match="redirects"):
        Transport().redirected("https://r.example/v2/a", location)
