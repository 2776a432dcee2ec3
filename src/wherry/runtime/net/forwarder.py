"""The built-in port forwarder: one process that listens on the host and connects inside the container.

A socket belongs for ever to the network name space in which it was made. The listeners are made on the host;
then the process enters the container's name space, and all that it opens from there on is the container's.
One thread, one event loop, at most `_BUFFER` bytes kept for each direction: a slow reader slows its writer.
"""

from __future__ import annotations

import resource
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from wherry.runtime.net import namespace
from wherry.runtime.net.ports import Listener

_BUFFER = 256 << 10
_DATAGRAM = 65535
_FLOWS = 1024
_FLOW_SECONDS = 90.0
_ACCEPT_PAUSE = 0.05

# A reset is passed on as a reset: a socket with this option set sends RST when it is closed.
_RESET = struct.pack("ii", 1, 0)

# Programs listen on all addresses, on IPv4 only or on IPv6 only.
_TARGETS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def start(pid: int, listeners: Sequence[Listener]) -> int:
    """Forward `listeners` into the network name space of process `pid`; the forwarder's process ID."""

    def work() -> NoReturn:
        keep = {listener.socket.fileno() for listener in listeners}
        namespace.close_all_but(keep | {0, 1, 2})
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        namespace.enter(pid)
        Forwarder(listeners).run()

    return namespace.fork_helper(work)


class Forwarder:
    """The event loop. It must run in the name space in which the ports' programs listen."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._events = selectors.DefaultSelector()
        self._paused_until = 0.0
        self._listeners = [listener for listener in listeners if listener.port.protocol == "tcp"]
        self._relays = [_Relay(self, item) for item in listeners if item.port.protocol == "udp"]
        for listener in listeners:
            listener.socket.setblocking(False)
        self._listen()

    def run(self) -> NoReturn:
        while True:
            self.turn(_ACCEPT_PAUSE if self._paused_until else 10.0)

    def turn(self, patience: float) -> None:
        """Handle what is ready now, waiting up to `patience` seconds for something to be."""
        for key, mask in self._events.select(patience):
            # An earlier event of this turn may have closed the socket, and a new one may have its number.
            now = self._events.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and mask & now.events:
                now.data(mask & now.events)
        moment = time.monotonic()
        for relay in self._relays:
            relay.expire(moment)
        if self._paused_until and moment >= self._paused_until:
            self._listen()

    def watch(self, item: socket.socket, mask: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with what is ready of `mask`; 0 stops watching."""
        known = item.fileno() in self._events.get_map()
        if not mask:
            if known:
                self._events.unregister(item)
        elif known:
            self._events.modify(item, mask, handler)
        else:
            self._events.register(item, mask, handler)

    def _listen(self) -> None:
        self._paused_until = 0.0
        for listener in self._listeners:
            self.watch(listener.socket, selectors.EVENT_READ, partial(self._accept, listener))

    def _accept(self, listener: Listener, _mask: int) -> None:
        try:
            client, _ = listener.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors: the queue stays readable, so stop looking at it for a moment.
            self._paused_until = time.monotonic() + _ACCEPT_PAUSE
            for item in self._listeners:
                self.watch(item.socket, 0, _nothing)
            return
        _Connection(self, client, listener.port.container)


class _Flow:
    """One direction of a connection: bytes read from `source` and not yet written to `target`."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.buffer = bytearray()
        self.ended = False
        self.closed = False

    @property
    def wants_to_read(self) -> bool:
        return not self.ended and len(self.buffer) < _BUFFER

    def read(self) -> None:
        try:
            data = self.source.recv(_BUFFER - len(self.buffer))
        except BlockingIOError:
            return
        if not data:
            self.ended = True
        elif self.buffer:
            self.buffer += data
        else:
            # The usual case: the reader is ready, nothing needs to be kept.
            sent = self._send(data)
            self.buffer += data[sent:]
        self.pass_end_on()

    def write(self) -> None:
        del self.buffer[: self._send(self.buffer)]
        self.pass_end_on()

    def pass_end_on(self) -> None:
        """Half-close: the end of one direction is told when its last byte is through; the other goes on."""
        if self.ended and not self.buffer and not self.closed:
            self.closed = True
            self.target.shutdown(socket.SHUT_WR)

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.target.send(data)
        except BlockingIOError:
            return 0


class _Connection:
    """A client and the program it talks to, from the connecting to the end of both directions."""

    def __init__(self, forwarder: Forwarder, client: socket.socket, port: int) -> None:
        self._forwarder = forwarder
        self._client = client
        self._port = port
        self._targets = list(_TARGETS)
        client.setblocking(False)
        self._connect()

    def _connect(self) -> None:
        """Try the next address; without one the client is reset, as a closed port would do."""
        while self._targets:
            family, address = self._targets.pop(0)
            try:
                self._server = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError:
                continue
            try:
                self._server.connect((address, self._port))
            except BlockingIOError:
                self._forwarder.watch(self._server, selectors.EVENT_WRITE, self._connected)
                return
            except OSError:
                self._server.close()
                continue
            self._begin()
            return
        self._reset(self._client)

    def _connected(self, _mask: int) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._forwarder.watch(self._server, 0, _nothing)
            self._server.close()
            self._connect()
        else:
            self._begin()

    def _begin(self) -> None:
        self._up = _Flow(self._client, self._server)
        self._down = _Flow(self._server, self._client)
        try:
            for item in (self._client, self._server):
                item.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # One side has left already.
            self._close(self._reset)
        else:
            self._watch()

    def _watch(self) -> None:
        for item, out, into in (
            (self._client, self._up, self._down),
            (self._server, self._down, self._up),
        ):
            mask = (selectors.EVENT_READ if out.wants_to_read else 0) | (
                selectors.EVENT_WRITE if into.buffer else 0
            )
            self._forwarder.watch(item, mask, partial(self._ready, out, into))

    def _ready(self, out: _Flow, into: _Flow, mask: int) -> None:
        """One socket is ready: `out` is read from it, `into` is written to it."""
        try:
            if mask & selectors.EVENT_WRITE:
                into.write()
            if mask & selectors.EVENT_READ and out.wants_to_read:
                out.read()
        except OSError:
            self._close(self._reset)
            return
        if out.closed and into.closed:
            self._close(socket.socket.close)
        else:
            self._watch()

    def _close(self, close: Callable[[socket.socket], None]) -> None:
        for item in (self._client, self._server):
            self._forwarder.watch(item, 0, _nothing)
            close(item)

    @staticmethod
    def _reset(item: socket.socket) -> None:
        try:
            item.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            # It is closed to both sides already: there is nobody left to tell.
            pass
        item.close()


class _Relay:
    """A published UDP port: a socket inside for every client, so that answers find their way back."""

    def __init__(self, forwarder: Forwarder, listener: Listener) -> None:
        self._forwarder = forwarder
        self._outside = listener.socket
        self._port = listener.port.container
        self._flows: dict[tuple[object, ...], tuple[socket.socket, float]] = {}
        forwarder.watch(self._outside, selectors.EVENT_READ, self._from_outside)

    def expire(self, now: float) -> None:
        """Forget clients that were silent for long; they are in the order of their last words."""
        while self._flows:
            client, (_, heard) = next(iter(self._flows.items()))
            if now - heard < _FLOW_SECONDS:
                return
            self._forget(client)

    def _from_outside(self, _mask: int) -> None:
        try:
            data, client = self._outside.recvfrom(_DATAGRAM)
            inside = self._inside(client)
            inside.send(data)
        except OSError:
            # Nobody listens, or a buffer is full: datagrams may be lost.
            return

    def _inside(self, client: tuple[object, ...]) -> socket.socket:
        known = self._flows.pop(client, None)
        inside = known[0] if known else self._open(client)
        self._flows[client] = (inside, time.monotonic())
        return inside

    def _open(self, client: tuple[object, ...]) -> socket.socket:
        if len(self._flows) >= _FLOWS:
            self._forget(next(iter(self._flows)))
        inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        inside.connect(("127.0.0.1", self._port))
        self._forwarder.watch(inside, selectors.EVENT_READ, lambda _mask: self._from_inside(inside, client))
        return inside

    def _from_inside(self, inside: socket.socket, client: tuple[object, ...]) -> None:
        try:
            self._outside.sendto(inside.recv(_DATAGRAM), client)
        except OSError:
            return

    def _forget(self, client: tuple[object, ...]) -> None:
        inside, _ = self._flows.pop(client)
        self._forwarder.watch(inside, 0, _nothing)
        inside.close()


def _nothing(_mask: int) -> None:
    return
