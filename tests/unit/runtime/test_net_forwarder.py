"""The built-in forwarder: every byte, half-closes, resets, bounded buffers, datagrams to the right client."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from wherry.base.errors import WherryError
from wherry.runtime.net import namespace
from wherry.runtime.net.forwarder import Forwarder
from wherry.runtime.net.ports import Port, chosen, release, reserve


@contextmanager
def forwarding(target: int, protocol: str = "tcp") -> Iterator[int]:
    """A forwarder in this very name space, to `target` on loopback; the port that it listens on."""
    listeners = reserve([Port("127.0.0.1", 0, target, protocol)])
    pid = namespace.fork_helper(lambda: Forwarder(listeners).run())
    try:
        yield chosen(listeners)[0].host
    finally:
        namespace.end_helper(pid)
        release(listeners)


@contextmanager
def serving(handle: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        # A queue that overflows makes Linux use SYN cookies, which can lose a connection's first 3 bytes.
        listener.listen(1024)
        port: int = listener.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield port
        listener.shutdown(socket.SHUT_RDWR)


def receive_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def digest_answer(connection: socket.socket) -> None:
    """Reads to the end of the client's half, then answers: a half-close that comes too early is seen."""
    with connection:
        data = receive_all(connection)
        connection.sendall(hashlib.sha256(data).digest() + data[::-1])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_every_byte_both_ways(address: str) -> None:
    data = random.Random(1).randbytes(20 << 20)
    with (
        serving(digest_answer, address) as port,
        forwarding(port) as outside,
        socket.create_connection(("127.0.0.1", outside), 20) as client,
    ):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = receive_all(client)
    assert answer[:32] == hashlib.sha256(data).digest()
    assert answer[32:] == data[::-1]


def test_server_that_closes_first() -> None:
    def greet(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            received.append(receive_all(connection))
            done.set()

    received: list[bytes] = []
    done = threading.Event()
    with serving(greet) as port, forwarding(port) as outside:
        with socket.create_connection(("127.0.0.1", outside), 10) as client:
            assert receive_all(client) == b"hello"
            client.sendall(b"still there")
        assert done.wait(60)
    assert received == [b"still there"]


def test_slow_reader_slows_the_writer() -> None:
    release_reader = threading.Event()

    def slow(connection: socket.socket) -> None:
        with connection:
            release_reader.wait(60)
            connection.sendall(str(len(receive_all(connection))).encode())

    with (
        serving(slow) as port,
        forwarding(port) as outside,
        socket.create_connection(("127.0.0.1", outside), 20) as client,
    ):
        client.setblocking(False)
        sent, last = 0, time.monotonic()
        while time.monotonic() - last < 0.5:
            try:
                sent += client.send(bytes(1 << 16))
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert sent < 64 << 20
        client.setblocking(True)
        client.settimeout(20)
        release_reader.set()
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == str(sent).encode()


def test_nobody_listens_is_a_reset() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with (
            forwarding(unused.getsockname()[1]) as outside,
            pytest.raises(
                ConnectionResetError
            ),  # while connecting or behind it, as the kernel's timing has it
            socket.create_connection(("127.0.0.1", outside), 10) as client,
        ):
            client.recv(1)


def test_reset_is_passed_on() -> None:
    reset = threading.Event()

    def wait(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1)
                connection.recv(1)
            except ConnectionResetError:
                reset.set()

    with serving(wait) as port, forwarding(port) as outside:
        client = socket.create_connection(("127.0.0.1", outside), 10)
        client.sendall(b"x")
        time.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert reset.wait(60)


def test_both_sides_leave_in_the_same_turn() -> None:
    """The first event closes both sockets; the second one, found at the same time, is about a closed one."""
    servers: list[socket.socket] = []
    with serving(servers.append) as port:
        listeners = reserve([Port("127.0.0.1", 0, port)])
        forwarder = Forwarder(listeners)
        outside = chosen(listeners)[0].host
        for count in range(1, 6):
            client = socket.create_connection(("127.0.0.1", outside), 10)
            while len(servers) < count:
                forwarder.turn(0.1)
            client.sendall(b"x")
            forwarder.turn(1)
            for item in (client, servers[-1]):
                item.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                item.close()
            forwarder.turn(1)
        release(listeners)


def test_many_connections_at_once() -> None:
    with serving(digest_answer) as port, forwarding(port) as outside:
        clients = [socket.create_connection(("127.0.0.1", outside), 20) for _ in range(300)]
        for number, client in enumerate(clients):
            client.sendall(str(number).encode())
            client.shutdown(socket.SHUT_WR)
        for number, client in enumerate(clients):
            assert receive_all(client)[32:] == str(number).encode()[::-1]
            client.close()


def test_datagrams_find_their_client() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                try:
                    data, client = server.recvfrom(65535)
                except OSError:
                    return
                if client is None:  # shut down
                    return
                server.sendto(b"re " + data, client)

        threading.Thread(target=answer, daemon=True).start()
        with forwarding(server.getsockname()[1], "udp") as outside:
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
            for number, client in enumerate(clients):
                client.settimeout(10)
                client.connect(("127.0.0.1", outside))
                client.send(str(number).encode())
            for number, client in enumerate(clients):
                assert client.recv(100) == f"re {number}".encode()
                client.close()


def test_reserved_ports() -> None:
    listeners = reserve([Port("", 0, 80), Port("127.0.0.1", 0, 53, "udp")])
    try:
        first, second = chosen(listeners)
        assert first.host > 0
        assert second.host > 0
        with pytest.raises(
            WherryError, match=f"cannot publish 0.0.0.0:{first.host}/tcp: the port is already in use"
        ):
            reserve([Port("", first.host, 80)])
        with pytest.raises(WherryError, match="already in use"):
            reserve([second])
    finally:
        release(listeners)
    release(reserve([first]))


def test_address_that_the_host_has_not() -> None:
    with pytest.raises(WherryError, match="this host has no address"):
        reserve([Port("203.0.113.7", 0, 80)])


def test_all_or_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(WherryError):
            reserve([Port("127.0.0.1", 0, 1), Port("127.0.0.1", number, 2)])
    release(reserve([Port("127.0.0.1", number, 2)]))


def test_helpers_end_with_their_maker() -> None:
    reader, writer = os.pipe()
    maker = os.fork()
    if maker == 0:
        try:
            namespace.fork_helper(lambda: time.sleep(60))
            os.write(writer, b"x")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(maker, 0)
    assert os.read(reader, 1) == b"x"
    # The end of the file comes when the helper, the last one that has the other end, is gone.
    assert os.read(reader, 1) == b""
    os.close(reader)
