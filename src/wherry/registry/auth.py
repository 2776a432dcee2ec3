"""Who we are to a registry: no one, a user with a password, or the bearer of a token for some scopes.

The protocol: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication". A
request goes out with what is known; a 401 says what is asked for, and is answered once.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from threading import Lock

from wherry.base.errors import Corrupt, Denied, WherryError
from wherry.base.text import one_line
from wherry.oci.descriptor import decode
from wherry.registry import challenge as challenges
from wherry.registry import config, mirrors
from wherry.registry.challenge import Challenge
from wherry.registry.config import Registries
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.failures import Refused
from wherry.registry.hosts import base_url, host_of, origin
from wherry.registry.transport import Retries, Transport

_CLIENT = "wherry"
_MAX_TOKEN = 1 << 20
_SHORTEST = 60
"""Seconds that a token is good for where its server does not say (the specification's default)."""


class Authority:
    """Answers the challenges of one registry for `scopes` (`repository:library/flask:pull`); thread-safe.

    The credential is looked up when the registry first asks for one: a helper program is run only then.
    """

    def __init__(
        self,
        registry: str,
        repository: str,
        scopes: Sequence[str],
        transport: Transport,
        credentials: Credentials | None = None,
    ) -> None:
        self.registry = registry
        self._repository = repository
        self._scopes = tuple(scopes)
        self._transport = transport
        self._credentials = credentials or Credentials()
        self._credential: Credential | None = None
        self._looked_up = False
        self._header = ""
        self._expires = float("inf")
        self._lock = Lock()

    @property
    def known(self) -> bool:
        """Whether there is a credential, as far as it has been looked up."""
        return self._credential is not None

    def header(self) -> str:
        """The Authorization header to send; "" for none. A token that ran out is not sent."""
        with self._lock:
            return self._header if time.monotonic() < self._expires else ""

    def answer(self, headers: Sequence[str], sent: str) -> bool:
        """After a 401 to a request with the header `sent`: whether it is of use to ask again.

        Threads that get a 401 together fetch one token. Denied where the credentials are refused.
        """
        with self._lock:
            if self._header and self._header != sent and time.monotonic() < self._expires:
                return True
            asked = challenges.choose(challenges.parse(headers))
            if asked is None:
                return False
            credential = self._look_up()
            if asked.scheme == "basic":
                header = basic(credential) if credential else ""
                lifetime = float("inf")
            elif credential and credential.registry_token:
                header, lifetime = f"Bearer {credential.registry_token}", float("inf")
            else:
                header, lifetime = self._fetch(asked, credential)
            news = bool(header) and header != sent
            self._header, self._expires = header, time.monotonic() + lifetime
            return news

    def _look_up(self) -> Credential | None:
        if not self._looked_up:
            self._credential = self._credentials.get(self.registry, self._repository)
            self._looked_up = True
        return self._credential

    def _fetch(self, asked: Challenge, credential: Credential | None) -> tuple[str, float]:
        """A new token as a header, and the seconds that it will be good for."""
        from urllib.parse import urlencode

        realm = self._realm(asked)
        service = asked.parameters.get("service", "")
        scopes = list(dict.fromkeys([*self._scopes, *asked.parameters.get("scope", "").split()]))
        fields = [("service", service)] if service else []
        if credential and credential.identity_token:
            fields += [("grant_type", "refresh_token"), ("refresh_token", credential.identity_token)]
            fields += [("client_id", _CLIENT), ("scope", " ".join(scopes))]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._transport.request("POST", realm, headers, urlencode(fields).encode())
        else:
            fields += [("scope", scope) for scope in scopes]
            headers = {"Authorization": basic(credential)} if credential else {}
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}" if fields else realm
            response = self._transport.request("GET", url, headers)
        with response:
            raw = response.body(_MAX_TOKEN)
        if response.status in (400, 401, 403):
            raise denied(self.registry, credential is not None, _said(raw))
        if response.status != 200:
            raise Refused(f"the token server of {self.registry} answered {response.status}")
        return _token(raw, self.registry)

    def _realm(self, asked: Challenge) -> str:
        """The token server's address. A registry on https must not have passwords sent over plain http."""
        realm = asked.parameters.get("realm", "").partition("#")[0]
        scheme, host, _ = origin(realm) if realm.startswith(("http://", "https://")) else ("", "", 0)
        if not host:
            raise Corrupt(f"{self.registry} asks for a token and names no server that gives one")
        if scheme == "http" and not self._transport.unverified(host_of(self.registry)):
            raise Denied(
                f"{self.registry} asks for a token from {host} over plain http: no credentials are sent there"
            )
        return realm


def login(
    registry: str,
    credential: Credential,
    keep: Credentials,
    registries: Registries | None = None,
    retries: Retries | None = None,
) -> str:
    """Try `credential` and keep it; where it is kept. Denied where the registry refuses it."""
    registries = config.load() if registries is None else registries
    with closing(Transport(retries, trust=mirrors.trust(registries))) as transport:
        _try(registry, credential, transport)
    return keep.put(registry, credential)


def _try(registry: str, credential: Credential, transport: Transport) -> None:
    authority = Authority(registry, "", (), transport, _Trial(credential))
    url = f"{base_url(host_of(registry), transport)}/v2/"
    sent = ""
    for _ in range(2):
        with transport.request("GET", url, {"Authorization": sent} if sent else {}) as response:
            status, asked = response.status, response.headers("WWW-Authenticate")
            html = response.content_type == "text/html"
        if status != 401 or not authority.answer(asked, sent):
            break
        sent = authority.header()
    if status in (401, 403):
        raise denied(registry, True)
    if status != 200 or html:
        raise WherryError(
            f"{registry} answered {status} to a login{' with a web page' if html else ''}",
            hint="check that it is a container registry",
        )


class _Trial(Credentials):
    """A credential that is being tried and is not kept yet."""

    def __init__(self, credential: Credential) -> None:
        super().__init__()
        self._tried = credential

    def get(self, registry: str, repository: str = "") -> Credential | None:
        del registry, repository
        return self._tried


def basic(credential: Credential) -> str:
    return "Basic " + b64encode(f"{credential.user}:{credential.password}".encode()).decode()


def denied(registry: str, known: bool, said: str = "") -> Denied:
    """The error for a 401; `known`: credentials were sent."""
    reason = f": {said}" if said else ""
    if known:
        return Denied(
            f"{registry} refused the credentials{reason}",
            hint=f"check user and password: `wherry login {registry}`",
        )
    return Denied(f"{registry} asks for a login{reason}", hint=f"run `wherry login {registry}` first")


def _token(raw: bytes, registry: str) -> tuple[str, float]:
    document = decode(raw)
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Corrupt(f"the token server of {registry} sent no token")
    seconds = document.get("expires_in")
    lifetime = seconds if isinstance(seconds, int) and seconds > 0 else _SHORTEST
    # A token is renewed a little before its end: a request takes time, and clocks differ in pace.
    return f"Bearer {token}", max(lifetime * 0.9, 1.0)


def _said(raw: bytes) -> str:
    """A token server's reason: `details` or `error_description`; nothing where there is none to be read."""
    try:
        document = decode(raw)
    except Corrupt:
        return ""
    for key in ("error_description", "details", "message"):
        if isinstance(document.get(key), str):
            return one_line(document[key])[:200]
    return ""
