"""Who is connected by a monitor's switchboard: processes on one side, clients on the other."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable

from wherry.container.attach.streams import Streams
from wherry.runtime.helper import Running

LAST_OUTPUT = 2.0
"""Seconds that a process's last output may take after its end: its pipes are closed by then, unless something
that it leaves, or something outside the container, holds them."""

Take = Callable[[int, bytes], None]
"""Gets what a process writes: 1 (stdout) or 2 (stderr), and the bytes."""

Done = Callable[[int], None]
"""Gets the exit code of a process whose output has all been taken."""


class Session:
    """One process with its streams. `take` and `done` are for whoever is no client."""

    def __init__(
        self,
        number: int,
        streams: Streams,
        running: Running,
        take: Take | None = None,
        done: Done | None = None,
    ) -> None:
        self.number = number
        self.streams = streams
        self.running = running
        self.take = take
        self.done = done
        self.ended_at = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether nothing more can come: it has ended, and nobody has its output open."""
        return bool(self.ended_at) and not self.streams.outputs

    @property
    def is_late(self) -> bool:
        return bool(self.ended_at) and time.monotonic() >= self.ended_at + LAST_OUTPUT


class Client:
    """One connection: packets that wait for it, the session that it is about, whether it wants the output.

    `session` is None where it is about the container's next first process.
    """

    def __init__(self, connection: socket.socket, session: Session | None, attached: bool) -> None:
        self.connection = connection
        self.session = session
        self.attached = attached
        self.has_fed = False
        self.awaits_start = False
        """Whether it is told how the next start of the container goes."""
        self.awaits_health = False
        """Whether it is told what the health checks find."""
        self.is_leaving = False
        """Whether it has been told all: it is let go of when it has read that."""
        self.order = b""
        """What it wants to be executed, as far as it has come."""
        self.waiting: deque[bytes] = deque()
        self.size = 0

    def put(self, kind: bytes, data: bytes = b"") -> None:
        self.waiting.append(kind + data)
        self.size += len(data) + 1

    def flush(self) -> bool:
        """Send what the connection takes; False where the other side is gone."""
        try:
            while self.waiting:
                self.connection.send(self.waiting[0])
                self.size -= len(self.waiting.popleft())
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True
