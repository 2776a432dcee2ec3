"""The monitor's event loop: the process's streams on one side, the log and the clients on the other.

Nothing is read that cannot be put somewhere: while a client that is attached lags by `_LAG` bytes, the
process's output waits in its pipes, and while the process does not read its stdin, what clients send waits.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from wherry.container import control
from wherry.container.log import Writer
from wherry.container.streams import Streams
from wherry.runtime.native import Running

_LAG = 1 << 20
_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE

# How long after the process's end its last output may take: its pipes are closed by then, unless something
# outside the container holds them.
_LAST_OUTPUT = 2.0


class _Client:
    """One connection: packets that wait for it, and whether it wants the output."""

    def __init__(self, connection: socket.socket, attached: bool) -> None:
        self.connection = connection
        self.attached = attached
        self.waiting: deque[bytes] = deque()
        self.size = 0

    def put(self, packet: bytes) -> None:
        self.waiting.append(packet)
        self.size += len(packet)

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


class Switchboard:
    def __init__(self, listener: socket.socket, streams: Streams, running: Running, log: Writer) -> None:
        self._listener = listener
        self._streams = streams
        self._running = running
        self._log = log
        self._log_failed = False
        self._clients: list[_Client] = []
        self._events = selectors.DefaultSelector()
        self._ended_at = 0.0
        listener.setblocking(False)
        self._watch(listener, _READ, self._accept)
        self._watch(running.fileno(), _READ, self._process_ended)

    def pass_on(self, received: int, sent: int) -> None:
        """From now on, the signal `received` by the monitor becomes `sent` for the container.

        A machine that shuts down sends SIGTERM to every process: the container gets its own word for it.
        """
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(received, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def heard(_mask: int) -> None:
            if received in os.read(reader, 64):
                self._running.kill(sent)

        self._watch(reader, _READ, heard)

    def add(self, connection: socket.socket, attached: bool) -> None:
        connection.setblocking(False)
        self._clients.append(_Client(connection, attached))

    def tell(self, kind: bytes, data: bytes = b"") -> None:
        """A packet for every client."""
        for client in self._clients:
            client.put(kind + data)

    def run(self) -> None:
        """Until the process has ended and all of its output is read."""
        while self._streams.outputs or not self._ended_at:
            if self._ended_at and not self._is_lagging() and time.monotonic() > self._ended_at + _LAST_OUTPUT:
                return
            self._turn()

    def finish(self, code: int, note: str = "") -> None:
        """Take in who is still knocking, tell everyone the exit code (and `note`), and wait until all have
        read it."""
        self._accept(0)
        self._watch(self._listener, 0)
        self._listener.close()
        for descriptor in list(self._streams.outputs):
            self._watch(descriptor, 0)
        self._streams.outputs.clear()
        self.tell(control.ENDED, control.number(code) + note.encode())
        while any(client.waiting for client in self._clients):
            self._turn()

    def _turn(self) -> None:
        self._update()
        for key, mask in self._events.select(0.5 if self._ended_at else None):
            # An earlier event of this turn may have closed it, or changed what it is watched for.
            now = self._events.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and mask & now.events:
                now.data(mask & now.events)

    def _update(self) -> None:
        """Watch exactly what can make progress now."""
        for client in list(self._clients):
            if not client.flush():
                self._drop(client)
        self._feed()
        lagging = self._is_lagging()
        for descriptor in self._streams.outputs:
            self._watch(descriptor, 0 if lagging else _READ, partial(self._output, descriptor))
        if self._streams.input >= 0:
            self._watch(self._streams.input, _WRITE if self._streams.has_held else 0, self._feed)
        for client in self._clients:
            mask = (0 if self._streams.is_full else _READ) | (_WRITE if client.waiting else 0)
            self._watch(client.connection, mask, partial(self._client, client))

    def _watch(
        self, item: socket.socket | int, mask: int, handler: Callable[[int], None] | None = None
    ) -> None:
        known = self._events.get_map().get(item) if item != -1 else None
        if known and known.events == mask:
            return
        if known:
            self._events.unregister(item)
        if mask:
            self._events.register(item, mask, handler)

    def _feed(self, _mask: int = 0) -> None:
        """Input that has come to its end is closed: its number must not be watched when it is used again."""
        descriptor = self._streams.input
        self._streams.flush()
        if self._streams.input < 0:
            self._watch(descriptor, 0)

    def _is_lagging(self) -> bool:
        return any(client.attached and client.size >= _LAG for client in self._clients)

    def _process_ended(self, _mask: int) -> None:
        self._ended_at = time.monotonic()
        self._watch(self._running.fileno(), 0)

    def _output(self, descriptor: int, _mask: int) -> None:
        stream = self._streams.outputs[descriptor]
        data = self._streams.read(descriptor)
        if not data:
            self._events.unregister(descriptor)
            return
        self._write_log(stream, data)
        packet = (control.STDOUT if stream == 1 else control.STDERR) + data
        for client in self._clients:
            if client.attached:
                client.put(packet)

    def _write_log(self, stream: int, data: bytes) -> None:
        """A full disk costs log, not the container; it is said once."""
        try:
            self._log.write(stream, data)
        except OSError as error:
            if not self._log_failed:
                self._log_failed = True
                print(f"output is missing in the log: {error.strerror}", file=sys.stderr, flush=True)

    def _accept(self, _mask: int) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.add(connection, attached=False)

    def _client(self, client: _Client, mask: int) -> None:
        if not mask & _READ:
            return
        try:
            packet = control.receive(client.connection)
        except BlockingIOError:
            return
        if packet is None:
            self._drop(client)
        else:
            self._obey(client, packet)

    def _obey(self, client: _Client, packet: control.Packet) -> None:
        if packet.kind == control.STDIN:
            self._streams.feed(packet.data)
        elif packet.kind == control.END_OF_STDIN:
            self._streams.end_input()
        elif packet.kind == control.WINDOW:
            self._streams.resize(*packet.window)
        elif packet.kind == control.SIGNAL:
            self._running.kill(packet.number)
        elif packet.kind == control.ATTACH:
            client.attached = True

    def _drop(self, client: _Client) -> None:
        self._watch(client.connection, 0)
        client.connection.close()
        self._clients.remove(client)
