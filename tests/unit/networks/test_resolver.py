"""The resolver among containers that mean ill, by real sockets on addresses of the loopback device."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from wherry.networks import dns, queues
from wherry.networks.definition import Network, Subnet
from wherry.networks.loop import Loop
from wherry.networks.resolver import Resolver
from wherry.networks.roster import Endpoint, Roster, Segment

OWN, GOOD, BAD = "127.77.0.1", "127.77.0.2", "127.77.0.3"
QUESTION = struct.pack("!6H", 9, 256, 1, 0, 0, 0) + b"\4good\0" + struct.pack("!HH", dns.A, 1)


class Net:
    """A network on which the containers `good` and `bad` are, and its resolver."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        segment = Segment(Network("1" * 64, "n", 0.0, (Subnet("127.77.0.0/24", OWN),)))
        for name, address in (("good", GOOD), ("bad", BAD)):
            segment.endpoints[name] = Endpoint(name, (name,), (address,), "port")
        roster = Roster()
        roster.segments["1" * 64] = segment
        self._loop = Loop()
        self._listener = held.enter_context(socket.create_server((OWN, 0)))
        made = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(queues.COUNT))
        datagrams = [held.enter_context(item) for item in made]
        queues.bind(datagrams, self._listener.getsockname())
        Resolver(self._loop, roster, lambda _container: ()).serve(segment, datagrams, self._listener)

    def connect(self, address: str) -> socket.socket:
        connection = socket.create_connection(self._listener.getsockname(), source_address=(address, 0))
        self._loop.turn()
        return self._held.enter_context(connection)

    def send(self, address: str, count: int) -> socket.socket:
        """Send a question as often, by UDP, without a look at what is answered."""
        sender = self._held.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        sender.bind((address, 0))
        for _ in range(count):
            sender.sendto(QUESTION, self._listener.getsockname())
        return sender

    def turn(self) -> None:
        self._loop.turn()

    def ask(self, connection: socket.socket) -> bytes:
        """What is answered; nothing where the connection was ended."""
        connection.settimeout(0.01)
        try:
            connection.sendall(struct.pack("!H", len(QUESTION)) + QUESTION)
            while True:
                try:
                    return connection.recv(512)[2:]
                except TimeoutError:
                    self._loop.turn()
        except ConnectionError:
            return b""


@pytest.fixture
def net() -> Iterator[Net]:
    with ExitStack() as held:
        yield Net(held)


def test_nobody_takes_the_connections_of_others(net: Net) -> None:
    good, first = net.connect(GOOD), net.connect(BAD)
    flood = [net.connect(BAD) for _ in range(100)]

    assert socket.inet_aton(GOOD) in net.ask(good)
    assert net.ask(first) == b""
    assert socket.inet_aton(GOOD) in net.ask(flood[-1])


def test_nobody_fills_the_queue_of_others(net: Net) -> None:
    flood = net.send(BAD, 10_000)
    good = net.send(GOOD, 1)
    for _ in range(3):
        net.turn()
    for asker in (good, flood):
        asker.settimeout(5)
        assert socket.inet_aton(GOOD) in asker.recv(512)
