"""Connections that fail, in words: what urllib3, ssl and the socket say, made one sentence with a hint."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.base.errors import Denied, WherryError

_TUNNEL = "Tunnel connection failed: "
"""How http.client says that a proxy refuses a CONNECT."""


class Broken(WherryError):
    """A connection that was refused, lost or silent; the same request may succeed later."""

    wait = 0.0
    """Seconds that the server asked us to wait before."""


class Unreachable(Broken):
    """No connection came about at all: trying again at once is of no use."""


class Untrusted(Unreachable):
    """The server speaks TLS, and either side does not trust the other."""


class Refused(WherryError):
    """An answer that is none: the registry is busy, broken, does not want this request, or leads astray."""


def failure(url: str, error: Exception) -> WherryError:
    from urllib3.exceptions import NewConnectionError, ProxyError, SSLError

    host, reason = host_of(url), reason_of(error)
    if isinstance(error, SSLError):
        return _tls_failure(host, error)
    if isinstance(error, ProxyError):
        if "407" in reason:
            return proxy_denied(host)
        return Unreachable(
            f"cannot reach {host} through the proxy: {reason}",
            hint="check http_proxy, https_proxy and no_proxy",
        )
    if isinstance(error, NewConnectionError):
        return Unreachable(
            f"cannot reach {host}: {reason}", hint="check the name, the network and that the server runs"
        )
    return Broken(f"the connection to {host} broke: {reason}", hint="try again")


def denied(registry: str, known: bool, said: str = "") -> Denied:
    """The error for a 401; `known`: credentials were sent."""
    reason = f": {said}" if said else ""
    if known:
        return Denied(
            f"{registry} refused the credentials{reason}",
            hint=f"check user and password: `wherry login {registry}`",
        )
    return Denied(f"{registry} asks for a login{reason}", hint=f"run `wherry login {registry}` first")


def proxy_denied(host: str) -> Unreachable:
    return Unreachable(
        f"cannot reach {host} through the proxy: it asks for a user and a password, or refuses those it got",
        hint="write them into http_proxy and https_proxy: http://USER:PASSWORD@HOST:PORT",
    )


def _tls_failure(host: str, error: Exception) -> Unreachable:
    import ssl

    cause = next((item for item in _chain(error) if isinstance(item, ssl.SSLError)), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(
            f"{host} has a certificate that is not trusted: {cause.verify_message}",
            hint=f"put its CA into ~/.config/containers/certs.d/{host}/ca.crt,"
            " or set SSL_CERT_FILE to a bundle that has it",
        )
    reason = ((cause.reason if cause else "") or "no TLS").lower().replace("_", " ")
    if reason.endswith(("certificate required", "alert bad certificate")):
        return Untrusted(
            f"{host} wants to see a client's certificate that it knows",
            hint=f"put one into ~/.config/containers/certs.d/{host}: client.cert and client.key",
        )
    if " alert " in reason:
        return Untrusted(f"{host} refuses the TLS connection: {reason.rpartition('alert ')[2]}")
    return Unreachable(
        f"{host} does not speak TLS as expected: {reason}",
        hint="only registries on loopback addresses, and those that are said to be insecure, are spoken to in"
        " plain http",
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
        if isinstance(seen, OSError) and str(seen).startswith(_TUNNEL):
            return f"it answers {str(seen).removeprefix(_TUNNEL)[:100].lower()}"
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
