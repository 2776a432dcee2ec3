"""The monitor's event loop: the streams of processes on one side, the log and the clients on the other.

Nothing is read that cannot be put somewhere: while a client that is attached lags by `_LAG` bytes, the
process's output waits in its pipes, and while a process does not read its stdin, what clients send waits.
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
from wherry.runtime.helper import Running

_LAG = 1 << 20
_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE

_LAST_OUTPUT = 2.0
"""Seconds that a process's last output may take after its end: its pipes are closed by then, unless something
that it leaves, or something outside the container, holds them."""


class Session:
    """One process with its streams. What the first one writes goes to the log too."""

    def __init__(
        self,
        number: int,
        streams: Streams,
        running: Running,
        log: Writer | None = None,
        ended: Callable[[int], None] | None = None,
    ) -> None:
        self.number = number
        self.streams = streams
        self.running = running
        self.log = log
        self.ended = ended
        """Is told the exit code, of a session that is not the first."""
        self.ended_at = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether nothing more can come: it has ended, and nobody has its output open."""
        return bool(self.ended_at) and not self.streams.outputs

    @property
    def is_late(self) -> bool:
        return bool(self.ended_at) and time.monotonic() > self.ended_at + _LAST_OUTPUT


class Client:
    """One connection: packets that wait for it, the session that it is about, whether it wants the output."""

    def __init__(self, connection: socket.socket, session: Session, attached: bool) -> None:
        self.connection = connection
        self.session = session
        self.attached = attached
        self.has_fed = False
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


Execute = Callable[[Client], None]
"""Carries out a client's order; see `Switchboard.open`."""


class Switchboard:
    """`main` is the session of the container's first process: with it everything ends."""

    def __init__(self, listener: socket.socket, main: Session, execute: Execute) -> None:
        self._listener = listener
        self._main = main
        self._execute = execute
        self._sessions = [main]
        self._opened = main.number
        self._log_failed = False
        self._clients: list[Client] = []
        self._events = selectors.DefaultSelector()
        listener.setblocking(False)
        self._watch(listener, _READ, self._accept)
        self._watch_end(main)

    def pass_on(self, received: int, sent: int) -> None:
        """From now on, the signal `received` by the monitor becomes `sent` for the container.

        A machine that shuts down sends SIGTERM to every process: the container gets its own word for it.
        """
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(received, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def heard(_mask: int) -> None:
            if received in os.read(reader, 64):
                self._main.running.kill(sent)

        self._watch(reader, _READ, heard)

    def add(self, connection: socket.socket, attached: bool) -> None:
        connection.setblocking(False)
        self._clients.append(Client(connection, self._main, attached))

    def open(
        self, client: Client, streams: Streams, running: Running, ended: Callable[[int], None] | None = None
    ) -> int:
        """Begin the session of another process, which the client asked for and is attached to; its number."""
        self._opened += 1
        session = Session(self._opened, streams, running, ended=ended)
        self._sessions.append(session)
        client.session, client.attached = session, True
        self._watch_end(session)
        return session.number

    def tell(self, session: Session, kind: bytes, data: bytes = b"") -> None:
        """A packet for every client of the session."""
        for client in self._clients:
            if client.session is session:
                client.put(kind, data)

    def run(self) -> None:
        """Until the first process has ended, and the others with it, and all of their output is read."""
        while self._sessions[1:] or not self._is_over(self._main):
            self._turn()
            for session in self._sessions[1:]:
                if self._is_over(session):
                    self._close(session)

    def finish(self, code: int, note: str = "") -> None:
        """Take in who is still knocking, tell everyone the exit code (and `note`), and wait until all have
        read it."""
        self._accept(0)
        self._watch(self._listener, 0)
        self._listener.close()
        self._forget_outputs(self._main)
        self.tell(self._main, control.ENDED, control.number(code) + note.encode())
        while any(client.waiting for client in self._clients):
            self._turn()

    def _is_over(self, session: Session) -> bool:
        return session.is_silent or (session.is_late and not self._is_lagging(session))

    def _close(self, session: Session) -> None:
        """Tell the end of a process that was executed in the container, whose clients have no other."""
        self._sessions.remove(session)
        self._forget_outputs(session)
        code = session.running.wait()
        if session.streams.input >= 0:
            self._watch(session.streams.input, 0)
            session.streams.close_input()
        self.tell(session, control.ENDED, control.number(code))
        if session.ended:
            session.ended(code)

    def _forget_outputs(self, session: Session) -> None:
        for descriptor in list(session.streams.outputs):
            self._watch(descriptor, 0)
            session.streams.close_output(descriptor)

    def _turn(self) -> None:
        self._update()
        for key, mask in self._events.select(0.5 if any(one.ended_at for one in self._sessions) else None):
            # An earlier event of this turn may have closed it, or changed what it is watched for.
            now = self._events.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and mask & now.events:
                now.data(mask & now.events)

    def _update(self) -> None:
        """Watch exactly what can make progress now."""
        for client in list(self._clients):
            if not client.flush():
                self._drop(client)
        for session in self._sessions:
            self._update_session(session)
        for client in self._clients:
            waits = client.has_fed and client.session.streams.is_full
            mask = (0 if waits else _READ) | (_WRITE if client.waiting else 0)
            self._watch(client.connection, mask, partial(self._client, client))

    def _update_session(self, session: Session) -> None:
        streams = session.streams
        self._feed(session)
        lagging = self._is_lagging(session)
        for descriptor in streams.outputs:
            self._watch(descriptor, 0 if lagging else _READ, partial(self._output, session, descriptor))
        if streams.input >= 0:
            self._watch(streams.input, _WRITE if streams.has_held else 0, partial(self._feed, session))

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

    def _watch_end(self, session: Session) -> None:
        end = session.running.fileno()

        def ended(_mask: int) -> None:
            session.ended_at = time.monotonic()
            self._watch(end, 0)

        self._watch(end, _READ, ended)

    def _feed(self, session: Session, _mask: int = 0) -> None:
        """Input that has come to its end is closed: its number must not be watched when it is used again."""
        descriptor = session.streams.input
        session.streams.flush()
        if session.streams.input < 0:
            self._watch(descriptor, 0)

    def _is_lagging(self, session: Session) -> bool:
        return any(
            client.session is session and client.attached and client.size >= _LAG for client in self._clients
        )

    def _output(self, session: Session, descriptor: int, _mask: int) -> None:
        stream = session.streams.outputs[descriptor]
        data = session.streams.read(descriptor)
        if data is None:
            return
        if not data:
            self._events.unregister(descriptor)
            return
        if session.log:
            self._write_log(session.log, stream, data)
        kind = control.STDOUT if stream == 1 else control.STDERR
        for client in self._clients:
            if client.session is session and client.attached:
                client.put(kind, data)

    def _write_log(self, log: Writer, stream: int, data: bytes) -> None:
        """A full disk costs log, not the container; it is said once."""
        try:
            log.write(stream, data)
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

    def _client(self, client: Client, mask: int) -> None:
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

    def _obey(self, client: Client, packet: control.Packet) -> None:
        session = client.session
        if packet.kind == control.STDIN:
            client.has_fed = True
            session.streams.feed(packet.data)
        elif packet.kind == control.END_OF_STDIN:
            session.streams.end_input()
        elif packet.kind == control.WINDOW:
            session.streams.resize(*packet.window)
        elif packet.kind == control.SIGNAL:
            session.running.kill(packet.number)
        elif packet.kind == control.ATTACH:
            client.attached = True
        elif packet.kind == control.ORDER:
            client.order += packet.data
        elif packet.kind == control.EXECUTE:
            self._execute(client)
        elif packet.kind == control.SESSION:
            self._move(client, packet.number)

    def _move(self, client: Client, number: int) -> None:
        """To another session; one that is over has nothing to hear any more."""
        for session in self._sessions:
            if session.number == number:
                client.session = session
                return
        self._drop(client)

    def _drop(self, client: Client) -> None:
        self._watch(client.connection, 0)
        client.connection.close()
        self._clients.remove(client)
