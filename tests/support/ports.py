"""Web servers on this host's ports, as a client sees them."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable


def free() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        number: int = probe.getsockname()[1]
        return number


def ask(port: int, host: str = "127.0.0.1", path: str = "/") -> str:
    """What the web server on that port answers; OSError where none does."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def answers(port: int) -> bool:
    try:
        ask(port)
    except OSError:
        return False
    return True


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until it is true; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
