"""The monitor's event loop: the streams of processes on one side, the log and the clients on the other.

Nothing is read that cannot be put somewhere: while a client that is attached lags by `_LAG` bytes, the
process's output waits in its pipes, and while a process does not read its stdin, what clients send waits.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

from wherry.base.errors import WherryError
from wherry.container.attach.streams import Streams
from wherry.container.monitor import control
from wherry.container.monitor.sessions import LAST_OUTPUT, Client, Done, Session, Take
from wherry.container.monitor.timers import Timer, Timers
from wherry.runtime.helper import JOINING, Running, held_up

_LAG = 1 << 20
_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE

Result = TypeVar("Result")

Obey = Callable[[Client, control.Packet], None]
"""Carries out what a client says that is not about the streams of a process."""


class Switchboard:
    """The main session is that of the container's first process: with it all others end.

    It begins with `begin` and ends with `end`, and that may happen several times. `timers` are those of the
    main session: its end cancels them.
    """

    def __init__(self, listener: socket.socket, obey: Obey) -> None:
        self.timers = Timers()
        self._listener = listener
        self._obey = obey
        self.main: Session | None = None
        """None while nothing runs."""
        self._others: list[Session] = []
        self._errands: set[Timer] = set()
        self._opened = 0
        self._clients: list[Client] = []
        self._events = selectors.DefaultSelector()
        listener.setblocking(False)
        self._watch(listener, _READ, self._accept)

    def on_signal(self, received: int, action: Callable[[], None]) -> None:
        """From now on `action` is called where the monitor gets that signal."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(received, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def heard(_mask: int) -> None:
            if received in os.read(reader, 64):
                action()

        self._watch(reader, _READ, heard)

    def watch(self, item: int, handler: Callable[[], None]) -> None:
        """Call `handler` when the descriptor becomes readable; it is watched no more then."""

        def ready(_mask: int) -> None:
            self._watch(item, 0)
            handler()

        self._watch(item, _READ, ready)

    def unwatch(self, item: int) -> None:
        """To be called before the descriptor is closed."""
        self._watch(item, 0)

    def add(self, connection: socket.socket, attached: bool = False, awaits_start: bool = False) -> None:
        connection.setblocking(False)
        client = Client(connection, self.main, attached)
        client.awaits_start = awaits_start
        self._clients.append(client)

    def begin(self, streams: Streams, running: Running, take: Take) -> None:
        """The container's first process runs: whoever has waited for it is connected with it."""
        self.main = Session(0, streams, running, take)
        for client in self._clients:
            client.session = client.session or self.main
        self._watch_end(self.main)

    def open(
        self, streams: Streams, running: Running, take: Take | None = None, done: Done | None = None
    ) -> Session:
        """Begin the session of another process."""
        self._opened += 1
        session = Session(self._opened, streams, running, take, done)
        self._others.append(session)
        self._watch_end(session)
        return session

    def carry_out(
        self,
        steps: Generator[int, None, Result],
        done: Callable[[Result], None],
        failed: Callable[[WherryError | OSError], None],
    ) -> None:
        """Go on with `steps` whenever the descriptor can be read that they wait for, and tell how they ended.

        They are given up after the time that a process may take to come to run.
        """
        waits_for = -1

        def go_on(go: Callable[[], int]) -> None:
            nonlocal waits_for
            self._watch(waits_for, 0)
            try:
                waits_for = go()
                self._watch(waits_for, _READ, lambda _mask: go_on(steps.__next__))
                return
            except StopIteration as end:
                conclude = partial(done, end.value)
            except (WherryError, OSError) as error:
                conclude = partial(failed, error)
            patience.cancel()
            self._errands.discard(patience)
            conclude()

        patience = self.timers.after(JOINING, lambda: go_on(partial(steps.throw, held_up())))
        self._errands.add(patience)
        go_on(steps.__next__)

    def tell_start(self, kind: bytes, data: bytes) -> None:
        """A packet for those who await the start."""
        for client in self._clients:
            if client.awaits_start:
                client.put(kind, data)
                client.awaits_start = False

    @property
    def has_errands(self) -> bool:
        """Whether something is carried out at this time."""
        return bool(self._errands)

    @property
    def is_ending(self) -> bool:
        """Whether the first process has ended."""
        return self.main is None or bool(self.main.ended_at)

    def tell_health(self, status: str) -> None:
        """To those who await it."""
        for client in self._clients:
            if client.awaits_health:
                client.put(control.HEALTH, status.encode())

    def run(self) -> None:
        """Until the first process has ended, and the others with it, and all of their output is read."""
        assert self.main
        while True:
            self._update()
            if over := [session for session in self._others if self._is_over(session)]:
                for session in over:
                    self._close(session)
            elif self._is_over(self.main) and not self._others and not self._errands:
                return
            else:
                self._wait()

    def end(self, code: int, note: str = "") -> None:
        """Tell everyone the exit code (and `note`) of the first process.

        Who does not await another one is let go of when it has read that.
        """
        assert self.main
        self.timers.clear()
        self._forget_streams(self.main)
        for client in self._clients:
            if client.session is self.main:
                client.put(control.ENDED, control.number(code) + note.encode())
                client.attached, client.has_fed = False, False
                client.is_leaving = not client.awaits_start
                client.session = client.session if client.is_leaving else None
        self.main = None

    def serve(self, until: Callable[[], bool]) -> None:
        """While nothing runs: until it is so."""
        self._update()
        while not until():
            self._wait()
            self._update()

    def close(self, code: int, note: str = "") -> None:
        """Take in who is still knocking, tell the end to all who have not heard of it, and wait until they
        have read it."""
        self._accept(0)
        self._watch(self._listener, 0)
        self._listener.close()
        if self.main:
            self.end(code, note)
        for client in self._clients:
            if not client.is_leaving:
                client.put(control.ENDED, control.number(code))
                client.is_leaving = True
        self._update()
        while self._clients:
            self._wait()
            self._update()

    def _is_over(self, session: Session) -> bool:
        return session.is_silent or (session.is_late and not self._is_lagging(session))

    def _close(self, session: Session) -> None:
        """Tell the end of a process that was executed in the container, whose clients have no other."""
        self._others.remove(session)
        self._forget_streams(session)
        code = session.running.wait()
        for client in self._clients:
            if client.session is session:
                client.put(control.ENDED, control.number(code))
                client.is_leaving = True
        if session.done:
            session.done(code)

    def _forget_streams(self, session: Session) -> None:
        streams = session.streams
        for descriptor in list(streams.outputs):
            self._watch(descriptor, 0)
            streams.close_output(descriptor)
        if streams.input >= 0:
            self._watch(streams.input, 0)
            streams.close_input()

    def _wait(self) -> None:
        for key, mask in self._events.select(self.timers.patience()):
            # An earlier event of this turn may have closed it, or changed what it is watched for.
            now = self._events.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and mask & now.events:
                now.data(mask & now.events)
        self.timers.fire()

    def _update(self) -> None:
        """Watch exactly what can make progress now."""
        for client in list(self._clients):
            if not client.flush() or (client.is_leaving and not client.waiting):
                self._drop(client)
        for session in [self.main, *self._others] if self.main else self._others:
            self._update_session(session)
        for client in self._clients:
            waits = client.has_fed and client.session is not None and client.session.streams.is_full
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
            self.timers.after(LAST_OUTPUT, lambda: None)  # the loop looks again then
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
        if session.take:
            session.take(stream, data)
        kind = control.STDOUT if stream == 1 else control.STDERR
        for client in self._clients:
            if client.session is session and client.attached:
                client.put(kind, data)

    def _accept(self, _mask: int) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.add(connection)

    def _client(self, client: Client, mask: int) -> None:
        if not mask & _READ:
            return
        try:
            packet = control.receive(client.connection)
        except BlockingIOError:
            return
        if packet is None:
            self._drop(client)
        elif not client.is_leaving:
            self._connect(client, packet)

    def _connect(self, client: Client, packet: control.Packet) -> None:
        """What is about streams. Before there are any, what is fed to them is lost."""
        streams = client.session.streams if client.session else None
        if packet.kind == control.STDIN:
            client.has_fed = True
            if streams:
                streams.feed(packet.data)
        elif packet.kind == control.END_OF_STDIN:
            if streams:
                streams.end_input()
        elif packet.kind == control.WINDOW:
            if streams:
                streams.resize(*packet.window)
        elif packet.kind == control.ATTACH:
            client.attached = True
        elif packet.kind == control.ORDER:
            client.order += packet.data
        elif packet.kind == control.SESSION:
            self._move(client, packet.number)
        else:
            self._obey(client, packet)

    def _move(self, client: Client, number: int) -> None:
        """To another session; one that is over has nothing to hear any more."""
        for session in self._others:
            if session.number == number:
                client.session = session
                return
        if number:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        self._watch(client.connection, 0)
        client.connection.close()
        self._clients.remove(client)
