"""A token server after docker's specification, whose tokens docker-registry itself verifies.

Tokens are JWTs (RFC 7519) signed by RS256, with the certificate of the key in their header (`x5c`).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

_ISSUER, _SERVICE = "tests", "registry of the tests"


class Wanted(NamedTuple):
    """One line of the log: who asked (as far as it was proved), how, and for which scopes."""

    user: str
    method: str
    scopes: list[str]


class TokenServer:
    """`users`: passwords. `public` repositories may be pulled by all, `shared` ones by all users; any other
    one is the user's own whose name it begins with: `ann/app`.
    """

    def __init__(self, folder: Path, users: dict[str, str]) -> None:
        self.users = users
        self.public: set[str] = set()
        self.shared: set[str] = set()
        self.identities: dict[str, str] = {}
        """Identity tokens, and whose they are."""
        self.offline = False
        """Whether a user who asks for an identity token gets one."""
        self.stale = 0
        """So many of the next tokens have run out when they are issued."""
        self.log: list[Wanted] = []
        self._key, self._certificate = folder / "token.key", folder / "token.pem"
        words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens"
        subprocess.run(
            ["openssl", *words.split(), "-keyout", self._key, "-out", self._certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"

    @property
    def settings(self) -> str:
        """What docker-registry's configuration has to say, to trust this server."""
        values = {
            "realm": self.url,
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": self._certificate,
        }
        return "auth:\n  token:\n" + "".join(f"    {key}: {value}\n" for key, value in values.items())

    def answer(self, method: str, authorization: str, query: str) -> tuple[int, dict[str, object]]:
        """The status and the document for a request with such a header, and such fields in URL or body."""
        fields = parse_qs(query)
        user = self._user(authorization, {key: values[0] for key, values in fields.items()})
        scopes = [scope for text in fields.get("scope", []) for scope in text.split()]
        self.log.append(Wanted(user or "", method, scopes))
        if user is None:
            return 401, {"details": "incorrect username or password"}
        token = self._token(user, [self._granted(user, scope) for scope in scopes])
        document: dict[str, object] = {"token": token, "access_token": token, "expires_in": 300}
        if self.offline and user and fields.get("offline_token") == ["true"]:
            document["refresh_token"] = self.identity(user)
        return 200, document

    def identity(self, user: str) -> str:
        """A new identity token."""
        token = os.urandom(20).hex()
        self.identities[token] = user
        return token

    def start(self) -> None:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _user(self, authorization: str, fields: dict[str, str]) -> str | None:
        """ "" for one who says nothing of himself; None for a wrong password."""
        if fields.get("grant_type") == "refresh_token":
            return self.identities.get(fields.get("refresh_token", ""))
        name, password = fields.get("username", ""), fields.get("password", "")
        if authorization:
            name, _, password = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if not name:
            return ""
        return name if self.users.get(name) == password else None

    def _granted(self, user: str, scope: str) -> dict[str, object]:
        """As much as the user may of `repository:ann/app:pull,push`."""
        kind, name, wanted = scope.split(":")
        allowed: set[str] = set()
        if name in self.public or (user and name in self.shared):
            allowed = {"pull"}
        if user and name.startswith(f"{user}/"):
            allowed = {"pull", "push", "delete"}
        actions = [item for item in wanted.split(",") if item in allowed]
        return {"type": kind, "name": name, "actions": actions}

    def _token(self, user: str, access: list[dict[str, object]]) -> str:
        now = int(time.time())
        # docker-registry takes a token for a minute longer than it says, as clocks differ.
        until = now + 300
        if self.stale:
            self.stale -= 1
            until = now - 3600
        certificate = "".join(self._certificate.read_text().splitlines()[1:-1])
        head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        claims = {
            "iss": _ISSUER, "sub": user, "aud": _SERVICE, "exp": until, "nbf": now - 7200, "iat": now,
            "jti": os.urandom(8).hex(), "access": access,
        }  # fmt: skip
        text = f"{_encoded(head)}.{_encoded(claims)}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signed = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{_text(signed)}"


@contextmanager
def serve(folder: Path, users: dict[str, str]) -> Iterator[TokenServer]:
    server = TokenServer(folder, users)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def basic(user: str, password: str) -> str:
    """The field `auth` of docker's config.json, and what follows `Basic ` in a header."""
    return b64encode(f"{user}:{password}".encode()).decode()


def _encoded(part: object) -> str:
    return _text(json.dumps(part).encode())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            query = urlsplit(self.path).query if self.command == "GET" else body
            sent = self.headers.get("Authorization") or ""
            status, document = server.answer(self.command, sent, query)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    return Handler
