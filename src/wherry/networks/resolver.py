"""Answers containers that ask for names, on the address of each network's own bridge.

A container finds those that are on one of its networks, whichever of these it asks on. All else is asked of
name servers outside, but for who asks on a network that is to reach nothing there: whoever is on it can ask
with another one's address.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from wherry.networks import dns
from wherry.networks.dns import Question
from wherry.networks.loop import READ, WRITE, Loop
from wherry.networks.roster import Roster, Segment
from wherry.networks.upstream import Ask

_MOST_ASKED = 128
"""Questions of one container that wait for an answer from outside: nobody can take the others' turns."""

_MOST_STREAMS = 32
"""Connections of one container; another one takes the place of its own oldest."""

_STREAM_SECONDS = 10.0
_LARGEST = 65535

Reply = Callable[[bytes], None]
Servers = Callable[[str], Sequence[str]]
"""The name servers outside that are asked for a container, by its ID."""


class Resolver:
    def __init__(self, loop: Loop, roster: Roster, servers: Servers) -> None:
        self._loop = loop
        self._roster = roster
        self._servers = servers
        self._asked: Counter[str] = Counter()
        """How many questions of each container wait."""
        self._streams: list[_Stream] = []

    def serve(self, segment: Segment, datagrams: Sequence[socket.socket], listener: socket.socket) -> None:
        """Answer on a network's address; all sockets are bound to it (queues.py)."""
        for item in datagrams:
            item.setblocking(False)
            self._loop.watch(item, READ, partial(self._datagram, segment, item))
        listener.setblocking(False)
        self._loop.watch(listener, READ, partial(self._accept, segment, listener))

    def forget(self, stream: _Stream) -> None:
        self._streams.remove(stream)

    def handle(
        self, segment: Segment, address: str, question: Question, message: bytes, stream: bool, reply: Reply
    ) -> None:
        """Answer a question, the bytes `message`, that came from an address of a network."""
        asker = segment.holder(address)
        if asker is None:
            reply(dns.refusal(question, dns.REFUSED))
            return
        own = self._own(question, asker.container, stream)
        if own is not None:
            reply(own)
            return
        servers = () if segment.network.internal else self._servers(asker.container)
        if not servers or self._asked[asker.container] >= _MOST_ASKED:
            reply(dns.refusal(question, dns.FAILURE))
            return
        self._asked[asker.container] += 1

        def done(answer: bytes | None) -> None:
            self._asked -= Counter([asker.container])
            reply(answer if answer is not None else dns.refusal(question, dns.FAILURE))

        Ask(self._loop, question, message, servers, stream, done).begin()

    def _own(self, question: Question, container: str, stream: bool) -> bytes | None:
        """The answer to a question about containers; None for any other."""
        addresses = self._roster.addresses_of(container, question.name)
        if addresses is not None:
            return dns.answer(question, addresses, whole=stream)
        address = dns.asked_address(question.name)
        name = self._roster.name_of(container, address) if address else None
        if name is None:
            return None
        if not name:
            return dns.refusal(question, dns.NO_SUCH_NAME)
        return dns.name_answer(question, name) if question.kind == dns.PTR else dns.answer(question, ())

    def _datagram(self, segment: Segment, datagrams: socket.socket, _mask: int) -> None:
        try:
            message, sender = datagrams.recvfrom(_LARGEST)
        except OSError:
            return
        question = dns.parse(message)
        if question is None:
            return

        def reply(answer: bytes) -> None:
            try:
                datagrams.sendto(answer, sender)
            except OSError:
                pass  # it has left, or its network has, or a buffer is full: it asks again

        self.handle(segment, sender[0], question, message, False, reply)

    def _accept(self, segment: Segment, listener: socket.socket, _mask: int) -> None:
        try:
            connection, sender = listener.accept()
        except OSError:
            return
        holder = segment.holder(sender[0])
        asker = holder.container if holder else ""
        own = [stream for stream in self._streams if stream.asker == asker]
        if len(own) >= _MOST_STREAMS:
            own[0].close()
        self._streams.append(_Stream(self, self._loop, connection, segment, sender[0], asker))


class _Stream:
    """A container that asks by TCP: one question after the other, each answered before the next is read.

    `asker` is its ID; empty where its address is nobody's.
    """

    def __init__(
        self,
        resolver: Resolver,
        loop: Loop,
        connection: socket.socket,
        segment: Segment,
        address: str,
        asker: str,
    ) -> None:
        self.asker = asker
        self._resolver = resolver
        self._loop = loop
        self._connection = connection
        self._segment = segment
        self._address = address
        self._heard = b""
        self._unsent = b""
        self._is_open = True
        connection.setblocking(False)
        self._listen()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.never(self)
            self._loop.close(self._connection)
            self._resolver.forget(self)

    def _listen(self) -> None:
        self._loop.after(self, _STREAM_SECONDS, self.close)
        self._loop.watch(self._connection, READ, self._read)

    def _read(self, _mask: int) -> None:
        try:
            data = self._connection.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._heard += data
        if data:
            self._take()
        else:
            self.close()

    def _take(self) -> None:
        """Handle the next question where all of it is there: who has several may send them together."""
        length = int.from_bytes(self._heard[:2])
        if len(self._heard) < 2 or len(self._heard) - 2 < length:
            self._listen()
            return
        message, self._heard = self._heard[2 : 2 + length], self._heard[2 + length :]
        question = dns.parse(message)
        if question is None:
            self.close()
            return
        self._loop.forget(self._connection)
        self._resolver.handle(self._segment, self._address, question, message, True, self._answer)

    def _answer(self, message: bytes) -> None:
        if self._is_open:
            self._unsent = struct.pack("!H", len(message)) + message
            self._loop.watch(self._connection, WRITE, self._write)

    def _write(self, _mask: int) -> None:
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._unsent:
            self._take()
