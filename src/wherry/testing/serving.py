"""HTTP as the registry of the tests speaks it: right answers, and what faults make of them on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wherry.testing.distribution import Request, answer
from wherry.testing.faults import (
    Answer,
    Before,
    Change,
    Cut,
    Drip,
    Drop,
    Kind,
    Lost,
    Redirect,
    Relabel,
    Stall,
)
from wherry.testing.state import Asked, State

if TYPE_CHECKING:
    from ssl import SSLContext


class Server(ThreadingHTTPServer):
    """Answers for `state` on a port of 127.0.0.1 that the system chooses; in https where there is `tls`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, state: State, tls: SSLContext | None = None) -> None:
        class Handler(_Handler):
            pass

        Handler.state, Handler.lock = state, Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that is never ended holds up nobody else.

        A client that hangs up is what many tests are about: no trace for it.
        """
        try:
            if self._tls:
                with self._tls.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
            else:
                super().finish_request(request, client_address)
        except OSError:
            pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State
    lock: Lock

    def do_GET(self) -> None:
        with self.lock:
            fault = next((item for item in self.state.faults if item.strikes(self.command, self.path)), None)
        what = fault.what if fault else None
        request = self._request(what)
        with self.lock:
            self.state.log.append(
                Asked(self.command, self.path, dict(self.headers.items()), len(request.body))
            )
        if isinstance(what, Before):
            what.happens()
        if request.broken or isinstance(what, Lost):
            self._end(request, what)
        elif isinstance(what, Answer | Redirect):
            self._send(what if isinstance(what, Answer) else _redirect(what, self.path), None)
        else:
            self._send(answer(self.state, request), what)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def _request(self, fault: Kind | None) -> Request:
        limit = fault.after if isinstance(fault, Cut) else None
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body, whole = _chunks(self.rfile, limit)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length if limit is None else min(length, limit))
            whole = len(body) == length
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, parts.path, parts.query, headers, body, not whole)

    def _end(self, request: Request, fault: Kind | None) -> None:
        """No answer; but what came may count, as with a real registry that writes what it receives."""
        self.close_connection = True
        if not (isinstance(fault, Lost) and not fault.done) and not (
            isinstance(fault, Cut) and not fault.kept
        ):
            answer(self.state, request)

    def _send(self, found: Answer, fault: Kind | None) -> None:
        body, headers = _meant(found, fault)
        self.send_response(found.status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            _write(self.wfile.write, body, fault)
        said = next((value for name, value in headers if name.lower() == "content-length"), "")
        if isinstance(fault, Drop) or (found.status != 204 and said != str(len(body))):
            self.close_connection = True


def _meant(found: Answer, fault: Kind | None) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the headers that are to be sent."""
    body = fault.change(found.body) if isinstance(fault, Change) else found.body
    told = found.body if isinstance(fault, Change) and not fault.honest else body
    headers = list(found.headers)
    # RFC 9110, 8.6: 204 has no body, and no header that says so.
    if found.status != 204 and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(told))))
    if isinstance(fault, Relabel):
        names = {name.lower() for name, _ in fault.headers}
        headers = [item for item in headers if item[0].lower() not in names]
        headers += [item for item in fault.headers if item[1]]
    return body, headers


def _write(write: Callable[[bytes], object], body: bytes, fault: Kind | None) -> None:
    if isinstance(fault, Drop):
        write(body[: fault.after])
    elif isinstance(fault, Stall):
        write(body[: fault.after])
        time.sleep(fault.seconds)
        write(body[fault.after :])
    elif isinstance(fault, Drip):
        for start in range(0, len(body), fault.size):
            time.sleep(fault.seconds)
            write(body[start : start + fault.size])
    else:
        write(body)


def _redirect(fault: Redirect, path: str) -> Answer:
    return Answer(fault.status, (("Location", f"{fault.base}{path}"),))


def _chunks(stream: BufferedIOBase, limit: int | None) -> tuple[bytes, bool]:
    """A body of chunks (RFC 9112, 7.1), at most `limit` bytes of it; whether that is all."""
    body = bytearray()
    while size := int(stream.readline().partition(b";")[0] or b"0", 16):
        wanted = size if limit is None else min(size, limit - len(body))
        body += stream.read(wanted)
        if wanted < size or len(body) == limit:
            return bytes(body), False
        stream.readline()
    stream.readline()
    return bytes(body), True
