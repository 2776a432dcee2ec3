"""Waits until a container is healthy, as its health check says."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from wherry.base.errors import WherryError
from wherry.container import log
from wherry.container.containers import Containers
from wherry.container.monitor import control
from wherry.container.monitor.connection import Started
from wherry.container.options.health import HEALTHY, NONE, UNHEALTHY

_LINES = 20
_LONGEST = 8 << 10
_POLL = 0.05


def until_healthy(
    root: str, container_id: str, name: str, started: Started | None, seconds: float | None
) -> bool:
    """Wait for so many seconds, or for ever. Whether it has a health check; without one it need only run.

    `started`, where it has just been started, is closed here. A container that has ended is still waited for
    where its policy starts it again. WherryError where it is unhealthy, has ended, or takes too long.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    waiting = _Waiting(Containers(root), container_id, name, deadline)
    connection = started.connection if started else waiting.connect()
    while not (status := waiting.listen(connection)):
        connection = waiting.connect()
    if status == UNHEALTHY:
        raise waiting.unhealthy()
    return status == HEALTHY


class _Waiting:
    def __init__(self, containers: Containers, container_id: str, name: str, deadline: float | None) -> None:
        self._containers = containers
        self._id = container_id
        self._name = name
        self._deadline = deadline
        self._output = b""
        self._code = 0

    def listen(self, connection: socket.socket) -> str:
        """What the container is found to be, other than starting; nothing where it has ended."""
        with connection:
            with suppress(OSError):  # where it ends in this moment, that is seen when the connection is read
                control.send(connection, control.ATTACH)
                control.send(connection, control.HEALTH)
            while packet := self._receive(connection):
                if packet.kind in (control.STDOUT, control.STDERR):
                    self._output = (self._output + packet.data)[-_LONGEST:]
                elif packet.kind == control.HEALTH and packet.data.decode() in (HEALTHY, UNHEALTHY, NONE):
                    return packet.data.decode()
                elif packet.kind == control.ENDED:
                    self._code = packet.number
                    return ""
        raise WherryError(f"the monitor of container {self._name} was killed, and the container with it")

    def connect(self) -> socket.socket:
        """With the monitor of a container that runs, or is started again by its policy."""
        while True:
            now = self._containers.get(self._id)
            if now is None or not now.is_running:
                self._code = now.state.exit_code if now else self._code
                raise self._ended()
            with suppress(OSError):  # it ends in this moment, for good
                return control.connect(now.folder.path)
            if self._left() == 0:
                raise self._late()
            time.sleep(_POLL)

    def unhealthy(self) -> WherryError:
        return WherryError(
            f"container {self._name} is unhealthy", excerpt=self._checked(), hint=self._where_to_look()
        )

    def _receive(self, connection: socket.socket) -> control.Packet | None:
        connection.settimeout(self._left())
        try:
            return control.receive(connection)
        except (TimeoutError, BlockingIOError):
            raise self._late() from None

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _late(self) -> WherryError:
        return WherryError(
            f"container {self._name} was not healthy in time",
            excerpt=self._checked(),
            hint=self._where_to_look(),
        )

    def _ended(self) -> WherryError:
        return WherryError(
            f"container {self._name} ended with exit code {self._code} before it was healthy",
            excerpt=self._written(),
        )

    def _checked(self) -> str:
        """What the last health check said."""
        now = self._containers.get(self._id)
        if now is None or now.state.health is None or not now.state.health.results:
            return ""
        last = now.state.health.results[-1]
        return f"the last health check (exit code {last.code}):\n{last.output}"

    def _written(self) -> str:
        """The last lines of its output; a container with --rm has no log any more."""
        output = self._output
        with suppress(WherryError, OSError):
            path = self._containers.folder(self._id).file("log.jsonl")
            output = b"".join(record.data for record in log.read(path, tail=_LINES)) or output
        return "\n".join(output.decode(errors="replace").splitlines()[-_LINES:])

    def _where_to_look(self) -> str:
        return (
            f"`wherry logs {self._name}` shows what it wrote, `wherry inspect {self._name}` the last checks"
        )
