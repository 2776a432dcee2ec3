"""Waits until a container is healthy, as its health check says."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from wherry.base.errors import WherryError
from wherry.container import control, log
from wherry.container.connection import Started, join
from wherry.container.containers import Container, Containers
from wherry.container.health import HEALTHY, NONE, UNHEALTHY
from wherry.container.state import RESTARTING

_LINES = 20
_LONGEST = 8 << 10
_POLL = 0.05


def until_healthy(root: str, container_id: str, started: Started, seconds: float | None) -> bool:
    """Wait for so many seconds, or for ever. Whether it has a health check; without one it need only run.

    The connection of `started` is closed here. A container that has ended is still waited for where its
    policy starts it again. WherryError where it is unhealthy, has ended, or takes too long.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    waiting = _Waiting(Containers(root), container_id, started.name, deadline)
    while True:
        status = waiting.listen(started.connection)
        if status in (HEALTHY, NONE):
            return status == HEALTHY
        if status == UNHEALTHY:
            raise waiting.unhealthy()
        started = join(waiting.after_its_end())


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

    def after_its_end(self) -> Container:
        """The container, which its policy has started again. WherryError where none does."""
        while True:
            now = self._containers.get(self._id)
            if now is None or not now.is_running:
                raise self._ended()
            if now.state.status != RESTARTING:
                return now
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
