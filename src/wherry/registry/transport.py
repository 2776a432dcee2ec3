"""HTTP as registries need it: pooled connections, bounded retries, redirects, and failures in words.

The only module that knows urllib3. A credential is sent to the origin it was meant for and to no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.registry import certificates
from wherry.registry.certificates import Settings, Trust
from wherry.registry.failures import (
    Broken,
    Refused,
    Unreachable,
    Untrusted,
    failure,
    host_of,
    proxy_denied,
    reason_of,
)
from wherry.registry.hosts import origin
from wherry.registry.proxy import Proxy, not_a_url, proxy_for

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECT_SECONDS = 15
READ_SECONDS = 90
"""Seconds without a byte after which a connection counts as broken."""
MAX_REDIRECTS = 8
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BLOCK = 1 << 18


class Retries(NamedTuple):
    """`attempts` in all; `first` seconds before the second one, twice that before the third, and so on.

    A server's Retry-After is honoured up to `longest` seconds.
    """

    attempts: int = 5
    first: float = 0.25
    longest: float = 60.0

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """Seconds to wait behind attempt number `attempt`, counted from 1."""
        from random import uniform

        wait: float = self.first * 2 ** (attempt - 1) * uniform(0.8, 1.2)
        return min(max(wait, asked), self.longest)


class Body(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class Response:
    """An answer whose body is read by the caller; closed at the end of a `with` block."""

    def __init__(self, raw: BaseHTTPResponse, url: str) -> None:
        self._raw = raw
        self.url = url
        self.status = raw.status

    def header(self, name: str) -> str:
        return self._raw.headers.get(name) or ""

    def headers(self, name: str) -> list[str]:
        """The values of a header that may be there several times."""
        return self._raw.headers.getlist(name)

    @property
    def length(self) -> int | None:
        """Content-Length; None where the server does not say it."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def retry_after(self) -> float:
        """Seconds that a busy server asks to be left alone for; 0 where it does not say."""
        return _retry_after(self.header("Retry-After"))

    @property
    def content_type(self) -> str:
        return self.header("Content-Type").partition(";")[0].strip().lower()

    def read(self, size: int = _BLOCK) -> bytes:
        """At most `size` bytes as they come over the wire; empty at the end. Broken where it breaks off."""
        from urllib3.exceptions import HTTPError

        try:
            return self._raw.read(size, decode_content=False)
        except (HTTPError, OSError) as error:
            raise Broken(f"the connection to {host_of(self.url)} broke: {reason_of(error)}") from None

    def body(self, limit: int) -> bytes:
        """All of it; Corrupt where it has more than `limit` bytes."""
        if (self.length or 0) > limit:
            raise Corrupt(f"{host_of(self.url)} sent a document of {self.length} bytes, over {limit}")
        blocks, size = [], 0
        while block := self.read():
            size += len(block)
            if size > limit:
                raise Corrupt(f"{host_of(self.url)} sent a document of more than {limit} bytes")
            blocks.append(block)
        return b"".join(blocks)

    def close(self) -> None:
        """Give the connection back; one whose body is left unread is cut."""
        if not self._raw.closed:
            self._raw.close()
        self._raw.release_conn()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Transport:
    """Requests with retries; used by several threads at once. `trust` (None: the system's) is about TLS."""

    def __init__(
        self, retries: Retries | None = None, connections: int = 8, trust: Trust | None = None
    ) -> None:
        self.retries = retries or Retries()
        self._connections = connections
        self._trust = trust or certificates.system()
        self._pools: dict[tuple[str, Proxy | None, Settings], PoolManager] = {}
        self._answered: set[tuple[str, str, int]] = set()
        self._lock = Lock()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Body] | bytes | None = None,
        attempts: int | None = None,
    ) -> Response:
        """The last answer, whatever its status; GET and HEAD follow redirects.

        Busy servers (429, 5xx) and broken connections are asked again, `attempts` times in all. A function
        as `body` is called for every attempt. Broken or Unreachable where no answer came.
        """
        attempts = attempts or self.retries.attempts
        for attempt in range(1, attempts + 1):
            asked = 0.0
            try:
                response = self._follow(method, url, headers, body)
            except Broken as error:
                never = isinstance(error, Unreachable) and origin(url) not in self._answered
                if never or attempt == attempts:
                    raise
            else:
                if response.status not in _BUSY or attempt == attempts:
                    return response
                asked = response.retry_after
                response.close()
            time.sleep(self.retries.pause(attempt, asked))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def unverified(self, host: str) -> bool:
        """Whether it need not prove who it is: plain http will do."""
        return self._trust.of(host).unverified

    def speaks_tls(self, url: str) -> bool:
        """Whether the server behind an https URL answers; no credential is sent.

        Untrusted where it does speak TLS, and refuses us.
        """
        try:
            self._once("HEAD", url, {}, None).close()
        except Untrusted:
            raise
        except Broken:
            return False
        return True

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Body] | bytes | None
    ) -> Response:
        headers = dict(headers)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._once(method, url, headers, body() if callable(body) else body)
            location = response.header("Location")
            if method not in ("GET", "HEAD") or response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = self.redirected(url, location)
            if origin(target) != origin(url):
                headers.pop("Authorization", None)
            url = target
        raise Refused(f"{host_of(url)} redirects without end: {MAX_REDIRECTS} redirects were followed")

    def redirected(self, url: str, location: str) -> str:
        """The absolute form of a Location header; a way from https down to http is refused.

        But for hosts that may go unverified: what they say could have come over plain http as well.
        """
        from urllib.parse import urljoin, urlsplit

        try:
            target = urljoin(url, location)
            parts = urlsplit(target)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid:
            raise Refused(f"{host_of(url)} redirects to something that is no URL: {location[:200]!r}")
        downwards = url.startswith("https:") and parts.scheme == "http"
        if downwards and not (self.unverified(host_of(url)) and self.unverified(host_of(target))):
            raise Refused(
                f"{host_of(url)} redirects from https to http, to {parts.hostname}: refused",
                hint="the server's own address is set wrongly behind its TLS proxy, or somebody interferes",
            )
        return target

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None) -> Response:
        from urllib3.exceptions import HTTPError, LocationValueError

        try:
            raw = self._pool(url).request(
                method,
                url,
                headers=headers,
                body=body,  # type: ignore[arg-type]  # urllib3 asks for all of IO and calls read alone
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except LocationValueError:
            raise Refused(f"not a URL that can be asked: {url[:200]!r}") from None
        except (HTTPError, OSError) as error:
            raise failure(url, error) from None
        if raw.status == 407:
            raw.close()
            raise proxy_denied(host_of(url))
        self._answered.add(origin(url))
        return Response(raw, url)

    def _pool(self, url: str) -> PoolManager:
        """The connections for `url`: direct, or through the proxy that the environment names for it."""
        proxy, scheme, host = proxy_for(url), url.partition(":")[0], host_of(url)
        tls = self._trust.of(host) if scheme == "https" else Settings()
        with self._lock:
            key = (scheme, proxy, tls)
            if key not in self._pools:
                self._pools[key] = self._make_pool(*key, host)
            return self._pools[key]

    def _make_pool(self, scheme: str, proxy: Proxy | None, tls: Settings, host: str) -> PoolManager:
        import urllib3
        from urllib3.exceptions import HTTPError, InsecureRequestWarning

        from wherry import __version__

        settings: dict[str, Any] = {
            "maxsize": self._connections,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            "blocksize": _BLOCK,
            "headers": {"User-Agent": f"wherry/{__version__}", "Accept-Encoding": "identity"},
        }
        by_tls = proxy is not None and proxy.url.startswith("https:")
        # Reading the CA bundle takes 20 ms: a registry on http does without.
        if scheme == "https" or by_tls:
            settings["ssl_context"] = certificates.context(tls)
        if tls.unverified:
            urllib3.disable_warnings(InsecureRequestWarning)  # the user has said so, or it is loopback
        if proxy is None:
            return urllib3.PoolManager(**settings)
        if by_tls:
            settings["proxy_ssl_context"] = certificates.context(Settings())
        settings["proxy_headers"] = dict(proxy.headers)
        try:
            return urllib3.ProxyManager(proxy.url, **settings)
        except (HTTPError, AssertionError, ValueError):
            raise not_a_url(host) from None


def _retry_after(text: str) -> float:
    """Seconds; the header has either a number of them or a date (RFC 9110, 10.2.3)."""
    from email.utils import parsedate_to_datetime

    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
