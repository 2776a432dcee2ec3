"""A proxy that knows hosts which do not exist: so tests speak to some that are not loopback."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from urllib.parse import urlsplit


class Proxy:
    """Brings what is asked of `registry.example:443` to the address that `hosts` has for it.

    `asked` are the hosts in the order of the connections to them. `authorization` is what every request needs
    as its Proxy-Authorization; "" for none.
    """

    def __init__(self, hosts: Mapping[str, str], authorization: str = "") -> None:
        self.hosts = dict(hosts)
        self.authorization = authorization
        self.asked: list[str] = []
        self._lock = Lock()
        proxy = self

        class Handler(_Handler):
            def address(self, host: str) -> tuple[str, int] | None:
                return proxy._address(host, self.headers.get("Proxy-Authorization") or "")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def environment(self, user: str = "") -> dict[str, str]:
        """What a program needs to use it; `user` is `name:password`, as it stands in a URL."""
        url = f"http://{user}@{self.host}" if user else f"http://{self.host}"
        return {"http_proxy": url, "https_proxy": url, "no_proxy": "", "NO_PROXY": ""}

    def _address(self, host: str, authorization: str) -> tuple[str, int] | None:
        with self._lock:
            self.asked.append(host)
        if self.authorization not in ("", authorization):
            return None
        name, _, port = self.hosts.get(host, "127.0.0.1:1").rpartition(":")
        return name, int(port)

    def __enter__(self) -> Proxy:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def address(self, host: str) -> tuple[str, int] | None:
        raise NotImplementedError

    def do_CONNECT(self) -> None:
        if behind := self._connected(self.path):
            self.send_response(200)
            self.end_headers()
            self._exchange(behind)

    def do_GET(self) -> None:
        """A request in plain http is handed on as it came, but for the proxy's own headers."""
        parts = urlsplit(self.path)
        if behind := self._connected(parts.netloc if parts.port else f"{parts.netloc}:80"):
            path = parts._replace(scheme="", netloc="").geturl()
            lines = [f"{self.command} {path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in self.headers.items() if "Proxy" not in name]
            behind.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            self._exchange(behind)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    def _connected(self, host: str) -> socket.socket | None:
        address = self.address(host)
        if address is None:
            self.send_error(407)
            return None
        try:
            return socket.create_connection(address, timeout=10)
        except OSError:
            self.send_error(502)
            return None

    def _exchange(self, behind: socket.socket) -> None:
        back = Thread(target=_pump, args=(behind, self.connection), daemon=True)
        back.start()
        try:
            while data := self.rfile.read1(1 << 16):
                behind.sendall(data)
            behind.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        back.join(10)
        behind.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
