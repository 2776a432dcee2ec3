"""Who may ask what: passwords, and bearer tokens that are good for some scopes and some time.

The protocol is distribution's "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import b64encode
from urllib.parse import parse_qs

from wherry.testing.faults import Answer
from wherry.testing.state import State


def challenge(state: State, method: str, path: str, sent: str) -> str:
    """What a request with the Authorization header `sent` is asked for; "" where it may pass."""
    if not state.user:
        return ""
    if not state.tokens:
        return "" if sent == basic(state.user, state.password) else 'Basic realm="tests"'
    until, scopes = state.issued.get(sent.removeprefix("Bearer "), (0.0, []))
    wanted = _scope(path, method)
    if until > time.monotonic() and (not wanted or _covers(scopes, wanted)):
        return ""
    realm = f'Bearer realm="{state.url}/token",service="tests"'
    return f'{realm},scope="{wanted}"' if wanted else realm


def issue(state: State, sent: str, query: str) -> Answer:
    """A token for who shows a password or an identity token; `query` are the fields of either form."""
    fields = parse_qs(query)
    allowed = sent == basic(state.user, state.password)
    if fields.get("grant_type") == ["refresh_token"]:
        allowed = fields.get("refresh_token") == [state.identity_token]
    if not allowed:
        return Answer(401, (), b'{"details": "incorrect username or password"}')
    token = f"token-{os.urandom(16).hex()}"
    scopes = [scope for text in fields.get("scope", []) for scope in text.split()]
    state.issued[token] = (time.monotonic() + state.lifetime, scopes)
    return Answer(200, (), json.dumps({"token": token, "expires_in": 300}).encode())


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _scope(path: str, method: str) -> str:
    """`repository:app:pull`, what a token must allow for this request."""
    match = re.match(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/", path)
    if not match:
        return ""
    if method == "DELETE" and "/uploads/" not in path:
        return f"repository:{match[1]}:delete"
    return f"repository:{match[1]}:{'pull' if method in ('GET', 'HEAD') else 'pull,push'}"


def _covers(scopes: list[str], wanted: str) -> bool:
    kind, name, actions = wanted.split(":")
    granted = {tuple(scope.rsplit(":", 1)) for scope in scopes}
    return any(
        have == f"{kind}:{name}" and set(actions.split(",")) <= set(some.split(",")) for have, some in granted
    )
