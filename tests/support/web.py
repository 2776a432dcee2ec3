"""Asking a server on this machine."""

from __future__ import annotations

import socket
import time
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener


def free_port() -> int:
    """A port on which nobody listens at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(port: int, path: str = "/", patience: float = 30) -> str:
    """What 127.0.0.1:`port` answers; it is asked again for `patience` seconds until it does."""
    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + patience
    while True:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)
