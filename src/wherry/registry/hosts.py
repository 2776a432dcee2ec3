"""Where a registry answers: the host behind its name, and whether it is spoken to in http or https."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.base.errors import UsageError
from wherry.oci import reference as references
from wherry.oci.reference import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from wherry.registry.transport import Transport

DOCKER_HUB = "registry-1.docker.io"
"""The host that serves what docker names `docker.io/...`."""


def host_of(registry: str) -> str:
    """The `host[:port]` that answers for a reference's registry."""
    return DOCKER_HUB if registry == DEFAULT_REGISTRY else registry


def base_url(host: str, transport: Transport) -> str:
    """`https://host[:port]`; http for one that may go unverified and does not speak TLS (docker, podman)."""
    secure = f"https://{host}"
    return secure if not transport.unverified(host) or transport.speaks_tls(secure) else f"http://{host}"


def registry_of(server: str) -> str:
    """The registry that a user names to `login`: `host[:port]`, or a URL of it as older dockers had."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    if host in ("index.docker.io", DOCKER_HUB, DEFAULT_REGISTRY):
        return DEFAULT_REGISTRY
    if not references.is_host(host):
        raise UsageError(f"not a registry: {server!r}", hint="write its host, such as localhost:5000")
    return host


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is `localhost` or an address of 127.0.0.0/8 or ::1; no name is looked up."""
    from ipaddress import ip_address

    name = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a credential belongs to."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port
