"""The words between a container's monitor and whoever talks to it: packets over a Unix socket.

The socket (SOCK_SEQPACKET) keeps packets apart; the first byte of each says what it is:

    to the monitor                          from the monitor
    `i` bytes for the process's stdin       `1` `2` bytes of its stdout, stderr (to those who attached)
    `e` no more stdin                       `s` it has started: JSON {"note", "session"}
    `w` a new window size: rows, columns    `f` it could not start: JSON {"message", "hint", "exit_code"}
    `k` a signal to send: its number        `x` it has ended and all is put away: its exit code
    `a` attach: output from now on
    `q` end it for good: a signal, and the seconds after which SIGKILL follows (negative: never)
    `b` end it in the same way, and start it again: `s` or `f` come behind `x`
    `h` say what the health checks find     `h` starting, healthy, unhealthy or none: now and at every change
    `p` `u` pause its processes, let them go on: `d` comes when it is done, or `f`
    `m` its name or its networks have changed, as the spec says now: `s` or `f`
    `c` be the monitor of this container: JSON {"root", "id", "attached"} (standby.py)
    `o` part of an order (execution.py)
    `r` run what was ordered: the connection is about that process from now on, and attached to it
    `n` the connection is about the process of the session with this number

Everyone who is connected gets `x`, of the process that the connection is about: the container's first one, if
nothing else was said. `s` has the number of its session. Closing a connection means nothing to a container.
A container that is started again has another first process. The monitor then closes the connections about the
one that has ended; those that are made in between are about the next one.
"""

from __future__ import annotations

import socket
import struct

from wherry.base import unixsockets
from wherry.base.tuples import NamedTuple

STDIN, END_OF_STDIN, WINDOW, SIGNAL, ATTACH = b"i", b"e", b"w", b"k", b"a"
BEGIN = b"c"
ORDER, EXECUTE, SESSION = b"o", b"r", b"n"
END, AGAIN, HEALTH, CHANGED = b"q", b"b", b"h", b"m"
PAUSE, UNPAUSE = b"p", b"u"
STDOUT, STDERR, STARTED, FAILED, ENDED, DONE = b"1", b"2", b"s", b"f", b"x", b"d"

LARGEST = 64 << 10

_WINDOW = struct.Struct("!HH")
_NUMBER = struct.Struct("!i")
_ENDING = struct.Struct("!id")


class Packet(NamedTuple):
    kind: bytes
    data: bytes

    @property
    def number(self) -> int:
        value: int = _NUMBER.unpack_from(self.data)[0]
        return value

    @property
    def note(self) -> str:
        """What is behind the number."""
        return self.data[_NUMBER.size :].decode()

    @property
    def window(self) -> tuple[int, int]:
        rows, columns = _WINDOW.unpack(self.data)
        return rows, columns

    @property
    def ending(self) -> tuple[int, float]:
        """The signal and the seconds until SIGKILL."""
        signal, seconds = _ENDING.unpack(self.data)
        return signal, seconds


def number(value: int) -> bytes:
    return _NUMBER.pack(value)


def window(rows: int, columns: int) -> bytes:
    return _WINDOW.pack(rows, columns)


def ending(signal: int, seconds: float) -> bytes:
    return _ENDING.pack(signal, seconds)


def pair() -> tuple[socket.socket, socket.socket]:
    """A monitor's end and its starter's."""
    monitor, starter = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return monitor, starter


def send(connection: socket.socket, kind: bytes, data: bytes = b"") -> None:
    """BrokenPipeError where the other side is gone."""
    connection.send(kind + data)


def receive(connection: socket.socket) -> Packet | None:
    """The next packet; None where the other side is gone."""
    while True:
        try:
            raw = connection.recv(LARGEST + 1)
            break
        except ConnectionResetError:
            # The other side has left with a packet of ours unread. That is told once, and in front of what it
            # has said before it left.
            continue
    return Packet(raw[:1], raw[1:]) if raw else None


def listen(folder: str) -> socket.socket:
    """The monitor's socket, `control` in the container's folder."""
    return unixsockets.listen(folder, "control")


def connect(folder: str) -> socket.socket:
    """A connection to the monitor; ConnectionRefusedError or FileNotFoundError where there is none."""
    return unixsockets.connect(folder, "control")
