"""Connections that fail, in words: what urllib3, ssl and the socket say, made one sentence with a hint."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.base.errors import WherryError


class Broken(WherryError):
    """A connection that was refused, lost or silent; the same request may succeed later."""


class Unreachable(Broken):
    """No connection came about at all: trying again at once is of no use."""


def failure(url: str, error: Exception) -> WherryError:
    from urllib3.exceptions import NewConnectionError, ProxyError, SSLError

    host, reason = host_of(url), reason_of(error)
    if isinstance(error, SSLError):
        return _tls_failure(host, error)
    if isinstance(error, ProxyError):
        return Unreachable(
            f"cannot reach {host} through the proxy: {reason}",
            hint="check http_proxy, https_proxy and no_proxy",
        )
    if isinstance(error, NewConnectionError):
        return Unreachable(
            f"cannot reach {host}: {reason}", hint="check the name, the network and that the server runs"
        )
    return Broken(f"the connection to {host} broke: {reason}", hint="try again")


def _tls_failure(host: str, error: Exception) -> Unreachable:
    import ssl

    cause = next((item for item in _chain(error) if isinstance(item, ssl.SSLError)), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unreachable(
            f"{host} has a certificate that is not trusted: {cause.verify_message}",
            hint="set SSL_CERT_FILE to a bundle that has its CA",
        )
    reason = (cause.reason if cause else "") or "no TLS"
    return Unreachable(
        f"{host} does not speak TLS as expected: {reason.lower().replace('_', ' ')}",
        hint="registries are spoken to in plain http on loopback addresses only",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was raised from, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def reason_of(error: BaseException) -> str:
    """The cause in a few words: the operating system's where there is one."""
    from socket import gaierror

    for seen in _chain(error):
        if isinstance(seen, gaierror):
            return "its name is not known"
        if isinstance(seen, TimeoutError):
            return "no answer in time"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
    text = str(error)
    if "timed out" in text:
        return "no answer in time"
    if "IncompleteRead" in text or "without response" in text:
        return "it was closed too early"
    return text[:200]


def host_of(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.rpartition("@")[2]
