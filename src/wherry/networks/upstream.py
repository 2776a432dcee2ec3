"""Questions that are none about containers, asked of name servers outside.

To be used where the host's network is: that is where its name servers are found, one on its loopback device
among them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence

from wherry.networks import dns
from wherry.networks.loop import READ, WRITE, Loop

_PATIENCE = 2.5
_ROUNDS = 2
_LARGEST = 65535


class Ask:
    """One question, asked of one server after the other until one has an answer.

    `done` gets the answer with the asker's own number in it; None where there is none. `stream`: by TCP, as
    it was asked.
    """

    def __init__(
        self,
        loop: Loop,
        question: dns.Question,
        message: bytes,
        servers: Sequence[str],
        stream: bool,
        done: Callable[[bytes | None], None],
    ) -> None:
        self._loop = loop
        self._question = question
        self._message = message
        self._left = list(servers) * (1 if stream else _ROUNDS)
        self._stream = stream
        self._done = done
        self._connection: socket.socket | None = None
        self._failed: bytes | None = None

    def begin(self) -> None:
        """Ask the next server; where none is left, this is the end."""
        while self._left:
            # Who would forge an answer has to guess this and the port, which is another one each time.
            self._number = int.from_bytes(os.urandom(2))
            self._heard = b""
            try:
                self._open(self._left.pop(0))
            except OSError:
                self._drop()
                continue
            self._loop.after(self, _PATIENCE, self._next)
            return
        self._finish(self._failed)

    def _open(self, server: str) -> None:
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        where = socket.getaddrinfo(server, 53, type=kind, flags=socket.AI_NUMERICHOST)[0]
        self._connection = socket.socket(where[0], kind | socket.SOCK_NONBLOCK)
        try:
            self._connection.connect(where[4])
        except BlockingIOError:
            pass
        if self._stream:
            self._loop.watch(self._connection, WRITE, self._connected)
        else:
            self._connection.send(dns.renumbered(self._message, self._number))
            self._loop.watch(self._connection, READ, self._datagram)

    def _connected(self, _mask: int) -> None:
        assert self._connection
        message = dns.renumbered(self._message, self._number)
        try:
            # It is the first that is sent, and shorter than any buffer.
            self._connection.send(struct.pack("!H", len(message)) + message)
        except OSError:
            self._next()
            return
        self._loop.watch(self._connection, READ, self._bytes)

    def _bytes(self, _mask: int) -> None:
        assert self._connection
        try:
            data = self._connection.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._heard += data
        if len(self._heard) >= 2 and len(self._heard) - 2 >= int.from_bytes(self._heard[:2]):
            self._take(self._heard[2 : 2 + int.from_bytes(self._heard[:2])])
        elif not data:
            self._next()

    def _datagram(self, _mask: int) -> None:
        assert self._connection
        try:
            self._take(self._connection.recv(_LARGEST))
        except BlockingIOError:
            return
        except OSError:
            self._next()  # nobody listens there

    def _take(self, message: bytes) -> None:
        if not dns.is_answer(message, self._number, self._question.raw):
            return  # somebody else's: the true one may still come
        message = dns.renumbered(message, self._question.number)
        if dns.is_failure(message):
            self._failed = message
            self._next()
        else:
            self._finish(message)

    def _next(self) -> None:
        self._drop()
        self.begin()

    def _finish(self, message: bytes | None) -> None:
        self._drop()
        self._done(message)

    def _drop(self) -> None:
        self._loop.never(self)
        if self._connection:
            self._loop.close(self._connection)
            self._connection = None
