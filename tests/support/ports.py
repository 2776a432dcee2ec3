"""Web servers on this host's ports, as a client sees them."""

from __future__ import annotations

import http.client
import random
import socket
import time
from collections.abc import Callable

_BELOW_THE_KERNEL_S = range(10_000, 32_768)
"""Ports that the kernel gives to nobody who asks for any one (ip(7): ip_local_port_range)."""


def free() -> int:
    """A port of both TCP and UDP that nobody has, nor gets by chance before the test takes it."""
    while True:
        number = random.SystemRandom().choice(_BELOW_THE_KERNEL_S)
        if all(_is_free(number, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return number


def _is_free(number: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("", number))
        except OSError:
            return False
        return True


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


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is true; AssertionError after so many seconds: the machine may be busy."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
