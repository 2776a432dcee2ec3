"""A registry in this process, on loopback, that can be told to fail: for tests of pull and push.

    with Registry() as registry:
        registry.faults.append(Fault("GET", "/blobs/", Drop(after=1000)))
        pull(store, registry.reference("app:v1"))

It keeps everything in memory, and a log of what it was asked. The protocol is the OCI distribution-spec's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference


class Answer(NamedTuple):
    """A fault: this answer instead of the right one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Drop(NamedTuple):
    """A fault: the connection is cut `after` so many bytes of the right answer's body."""

    after: int = 0


class Stall(NamedTuple):
    """A fault: silence for so many `seconds`, `after` so many bytes of the right answer's body."""

    after: int
    seconds: float


class Change(NamedTuple):
    """A fault: the right answer's body is changed; Content-Length stays the old one unless `honest`."""

    change: Callable[[bytes], bytes]
    honest: bool = True


class Fault:
    """Happens to the next `times` requests of `method` whose path has `part` in it."""

    def __init__(self, method: str, part: str, what: Answer | Drop | Stall | Change, times: int = 1) -> None:
        self.method = method
        self.part = part
        self.what = what
        self.times = times


class Asked(NamedTuple):
    """One line of the log."""

    method: str
    path: str
    headers: dict[str, str]


class Registry:
    """Serves from entering to leaving a `with` block. `user` and `password`: who may use it, "" for all.

    `tokens`: passwords are traded for bearer tokens at `/token`, each good for `lifetime` seconds and for the
    scopes that it was asked for. `ranges` False: a server that knows no Range header.
    """

    def __init__(
        self,
        user: str = "",
        password: str = "",
        *,
        tokens: bool = False,
        lifetime: float = 300,
        ranges: bool = True,
    ) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.faults: list[Fault] = []
        self.log: list[Asked] = []
        self.issued: dict[str, tuple[float, list[str]]] = {}
        self.user, self.password = user, password
        self.identity_token = ""
        self.tokens, self.lifetime, self.ranges = tokens, lifetime, ranges
        self.lock = Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def reference(self, name: str) -> Reference:
        """`app:v1` on this registry."""
        return references.parse(f"{self.host}/{name}").with_default_tag()

    def add_blob(self, repository: str, data: bytes) -> Digest:
        digest = digests.of(data)
        self.blobs[repository, digest] = data
        return digest

    def add_manifest(self, repository: str, tag: str, raw: bytes, media_type: str) -> Digest:
        digest = digests.of(raw)
        for name in (tag, digest):
            self.manifests[repository, name] = (media_type, raw)
        return digest

    def asked(self, method: str, part: str) -> list[Asked]:
        """The requests of `method` whose path has `part` in it, in their order."""
        return [item for item in self.log if item.method == method and part in item.path]

    def __enter__(self) -> Registry:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many tests are about: no trace for it."""
        try:
            super().finish_request(request, client_address)
        except ConnectionError:
            pass


_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    """The class that http.server wants, bound to one registry."""

    class Handler(_Handler):
        pass

    Handler.registry = registry
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def _serve(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.registry.lock:
            self.registry.log.append(Asked(self.command, self.path, dict(self.headers.items())))
            fault = self._fault()
        if fault and isinstance(fault.what, Answer):
            self._send(fault.what, None)
        else:
            self._send(self._answer(), fault.what if fault else None)

    def _fault(self) -> Fault | None:
        for fault in self.registry.faults:
            if fault.times and fault.method == self.command and fault.part in self.path:
                fault.times -= 1
                return fault
        return None

    def _send(self, answer: Answer, fault: Answer | Drop | Stall | Change | None) -> None:
        body, length = answer.body, len(answer.body)
        if isinstance(fault, Change):
            body = fault.change(body)
            length = len(body) if fault.honest else length
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in answer.headers):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if isinstance(fault, Drop):
            body = body[: fault.after]
        if isinstance(fault, Stall):
            self.wfile.write(body[: fault.after])
            time.sleep(fault.seconds)
            body = body[fault.after :]
        if self.command != "HEAD":
            self.wfile.write(body)
        if isinstance(fault, Drop) or (isinstance(fault, Change) and len(body) != length):
            self.wfile.flush()
            self.close_connection = True

    def _answer(self) -> Answer:
        path = urlsplit(self.path).path
        if path == "/token":
            return self._token()
        challenge = self._challenge(path)
        if challenge:
            return _error(401, "UNAUTHORIZED", "authentication required", ("WWW-Authenticate", challenge))
        if path == "/v2/":
            return Answer(200, (), b"{}")
        if match := _MANIFEST.fullmatch(path):
            return self._manifest(match[1], match[2])
        if match := _BLOB.fullmatch(path):
            return self._blob(match[1], match[2])
        if match := _UPLOAD.fullmatch(path):
            return self._upload(match[1])
        return Answer(404, (("Content-Type", "text/html"),), b"<html>404</html>")

    def _challenge(self, path: str) -> str:
        """What to ask for; "" where the request may pass."""
        registry, sent = self.registry, self.headers.get("Authorization") or ""
        if not registry.user:
            return ""
        if not registry.tokens:
            return "" if sent == _basic(registry.user, registry.password) else 'Basic realm="tests"'
        until, scopes = registry.issued.get(sent.removeprefix("Bearer "), (0.0, []))
        wanted = _scope(path, self.command)
        if until > time.monotonic() and (not wanted or _covers(scopes, wanted)):
            return ""
        realm = f'Bearer realm="http://{registry.host}/token",service="tests"'
        return f'{realm},scope="{wanted}"' if wanted else realm

    def _token(self) -> Answer:
        registry = self.registry
        fields = parse_qs(urlsplit(self.path).query if self.command == "GET" else self._body.decode())
        allowed = self.headers.get("Authorization") == _basic(registry.user, registry.password)
        if fields.get("grant_type") == ["refresh_token"]:
            allowed = fields.get("refresh_token") == [registry.identity_token]
        if not allowed:
            return Answer(401, (), b'{"details": "incorrect username or password"}')
        token = f"token{len(registry.issued)}"
        scopes = [scope for text in fields.get("scope", []) for scope in text.split()]
        registry.issued[token] = (time.monotonic() + registry.lifetime, scopes)
        return Answer(200, (), json.dumps({"token": token, "expires_in": 300}).encode())

    def _manifest(self, repository: str, name: str) -> Answer:
        key = (repository, name)
        if self.command == "PUT":
            media_type = self.headers.get("Content-Type") or ""
            digest = self.registry.add_manifest(repository, name, self._body, media_type)
            return Answer(201, (("Docker-Content-Digest", digest), ("Location", self.path)))
        if key not in self.registry.manifests:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, raw = self.registry.manifests[key]
        return Answer(200, (("Content-Type", media_type), ("Docker-Content-Digest", digests.of(raw))), raw)

    def _blob(self, repository: str, digest: str) -> Answer:
        data = self.registry.blobs.get((repository, digest))
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match and self.registry.ranges:
            start = int(match[1])
            part = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Answer(206, (("Content-Range", part),), data[start:])
        return Answer(200, (("Content-Type", "application/octet-stream"),), data)

    def _upload(self, repository: str) -> Answer:
        query = parse_qs(urlsplit(self.path).query)
        if self.command == "PUT":
            return self._finish_upload(repository, query.get("digest", [""])[0])
        mounted, source = query.get("mount", [""])[0], query.get("from", [""])[0]
        if (source, mounted) in self.registry.blobs:
            self.registry.blobs[repository, mounted] = self.registry.blobs[source, mounted]
            return Answer(201, (("Location", f"/v2/{repository}/blobs/{mounted}"),))
        return Answer(202, (("Location", f"/v2/{repository}/blobs/uploads/1?state=x"),))

    def _finish_upload(self, repository: str, digest: str) -> Answer:
        if digests.of(self._body) != digest:
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.registry.add_blob(repository, self._body)
        return Answer(201, (("Location", f"/v2/{repository}/blobs/{digest}"),))


def _error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, (("Content-Type", "application/json"), *headers), body)


def _basic(user: str, password: str) -> str:
    from base64 import b64encode

    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _scope(path: str, method: str) -> str:
    """`repository:app:pull`, what a token must allow for this request."""
    match = re.match(r"/v2/(.+)/(?:manifests|blobs)/", path)
    if not match:
        return ""
    return f"repository:{match[1]}:{'pull' if method in ('GET', 'HEAD') else 'pull,push'}"


def _covers(scopes: list[str], wanted: str) -> bool:
    kind, name, actions = wanted.split(":")
    granted = {tuple(scope.rsplit(":", 1)) for scope in scopes}
    return any(
        have == f"{kind}:{name}" and set(actions.split(",")) <= set(some.split(",")) for have, some in granted
    )
