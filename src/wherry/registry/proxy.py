"""The proxy that the environment names for a URL, as curl and Go read it.

`http_proxy`, `https_proxy` and `all_proxy`, in capitals too, are URLs, with a user and a password where the
proxy wants them. `no_proxy` has hosts, which stand for those below them, addresses, and networks
(`10.0.0.0/8`); loopback hosts are always asked directly.
"""

from __future__ import annotations

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.registry.hosts import is_loopback


class Proxy(NamedTuple):
    """Its URL without the user, and the headers that it gets: no server behind it sees them."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def proxy_for(url: str) -> Proxy | None:
    """None where the server is asked directly. WherryError for a variable that is no URL."""
    from urllib.parse import unquote, urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    proxies = getproxies()
    text = proxies.get(parts.scheme) or proxies.get("all") or ""
    if (
        not text
        or is_loopback(host)
        or proxy_bypass(host)
        or _in_network(parts.hostname, proxies.get("no", ""))
    ):
        return None
    scheme, _, rest = (text if "://" in text else f"http://{text}").partition("://")
    user, _, place = rest.rpartition("@")
    if scheme not in ("http", "https") or not place:
        raise not_a_url(host)
    return Proxy(f"{scheme}://{place}", _authorization(unquote(user)) if user else ())


def not_a_url(host: str) -> WherryError:
    return WherryError(
        f"the proxy for {host} is not a URL of http or https", hint="correct http_proxy and https_proxy"
    )


def _authorization(user: str) -> tuple[tuple[str, str], ...]:
    from base64 import b64encode

    user = user if ":" in user else f"{user}:"
    return (("Proxy-Authorization", f"Basic {b64encode(user.encode()).decode()}"),)


def _in_network(host: str | None, no_proxy: str) -> bool:
    """Whether `host` is an address of a network that `no_proxy` has."""
    from ipaddress import ip_address, ip_network

    try:
        address = ip_address(host or "")
    except ValueError:
        return False
    for item in no_proxy.split(","):
        try:
            if "/" in item and address in ip_network(item.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
