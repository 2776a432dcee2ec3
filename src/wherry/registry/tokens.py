"""The tokens of a registry's token server.

A user's password, or an identity token that was given for it, is traded for a short-lived one: distribution's
"Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.errors import Corrupt, Denied, WherryError
from wherry.base.text import one_line
from wherry.base.tuples import NamedTuple
from wherry.oci.descriptor import decode
from wherry.registry.challenge import Challenge
from wherry.registry.credentials import Credential
from wherry.registry.failures import Refused, denied
from wherry.registry.hosts import host_of, origin
from wherry.registry.transport import Response, Transport

_CLIENT = "wherry"
_MAX_TOKEN = 1 << 20
_SHORTEST = 60
"""Seconds that a token is good for where its server does not say (the specification's default)."""


class Grant(NamedTuple):
    """A token, the seconds that it is good for, and the identity token that came with it, "" for none."""

    token: str
    seconds: float
    identity: str = ""

    def __repr__(self) -> str:
        return f"Grant(seconds={self.seconds})"


def fetch(
    registry: str,
    asked: Challenge,
    credential: Credential | None,
    scopes: Sequence[str],
    transport: Transport,
    offline: bool = False,
) -> Grant:
    """What the server of a challenge gives for `scopes` and those that were asked for.

    `offline`: an identity token is wanted too, to be kept in the place of the password. Denied where the
    credential is refused.
    """
    realm = _realm(registry, asked, transport)
    wanted = list(dict.fromkeys([*scopes, *asked.parameters.get("scope", "").split()]))
    service = asked.parameters.get("service", "")
    if credential and credential.identity_token:
        response = _post(realm, service, wanted, credential.identity_token, transport)
    else:
        response = _get(realm, service, wanted, credential, transport, offline)
    with response:
        raw = response.body(_MAX_TOKEN)
    if response.status in (400, 401, 403):
        said = _said(raw)
        raise denied(registry, credential is not None, credential.masked(said) if credential else said)
    if response.status != 200:
        raise Refused(f"the token server of {registry} answered {response.status}")
    return _grant(raw, registry)


def _post(realm: str, service: str, scopes: Sequence[str], token: str, transport: Transport) -> Response:
    from urllib.parse import urlencode

    fields = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "service": service,
        "client_id": _CLIENT,
        "scope": " ".join(scopes),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return transport.request("POST", realm, headers, urlencode(fields).encode())


def _get(
    realm: str,
    service: str,
    scopes: Sequence[str],
    credential: Credential | None,
    transport: Transport,
    offline: bool,
) -> Response:
    from urllib.parse import urlencode

    fields = [("service", service)] if service else []
    fields += [("scope", scope) for scope in scopes]
    if offline:
        fields += [("offline_token", "true"), ("client_id", _CLIENT)]
    headers = {"Authorization": credential.basic} if credential else {}
    url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}" if fields else realm
    return transport.request("GET", url, headers)


def _realm(registry: str, asked: Challenge, transport: Transport) -> str:
    """The token server's address. A registry that is verified must not make us send passwords over http."""
    realm = asked.parameters.get("realm", "").partition("#")[0]
    try:
        scheme, host, _ = origin(realm)
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise Corrupt(f"{registry} asks for a token and names no server that gives one")
    if scheme == "http" and not transport.unverified(host_of(registry)):
        raise Denied(
            f"{registry} asks for a token from {host} over plain http: no credentials are sent there"
        )
    return realm


def _grant(raw: bytes, registry: str) -> Grant:
    document = decode(raw)
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Corrupt(f"the token server of {registry} sent no token")
    seconds, identity = document.get("expires_in"), document.get("refresh_token")
    lifetime = seconds if isinstance(seconds, int) and seconds > 0 else _SHORTEST
    # A token is renewed a little before its end: a request takes time, and clocks differ in pace.
    return Grant(token, max(lifetime * 0.9, 1.0), identity if isinstance(identity, str) else "")


def _said(raw: bytes) -> str:
    """A token server's reason: `details` or `error_description`; nothing where there is none to be read."""
    try:
        document = decode(raw)
    except WherryError:
        return ""
    for key in ("error_description", "details", "message"):
        if isinstance(document.get(key), str):
            return one_line(document[key])[:200]
    return ""
