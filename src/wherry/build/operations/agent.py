"""An agent of ssh, lent to a step: a socket of ours in front of the user's.

An agent answers its owner alone (it asks the kernel who calls), and lets whoever may call it load and delete
keys. A step's process may be anybody, and is to sign and nothing else. So wherry listens on a socket that
belongs to the step's user, and passes on what asks for names of keys and for signatures.

The protocol: draft-ietf-sshm-ssh-agent; a message is its length (4 bytes, big-endian), its type, its content.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError

_FAILURE = b"\x05"
_REQUEST_IDENTITIES, _SIGN_REQUEST = 11, 13
_PASSED_ON = frozenset({_REQUEST_IDENTITIES, _SIGN_REQUEST})

_LONGEST = 256 * 1024
"""Bytes of a message, as OpenSSH has it."""


@contextmanager
def relay(agent: str, path: str) -> Iterator[None]:
    """Listen at `path`, a new socket, for the agent that listens at `agent`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        _bind(listener, path)
        listener.listen()
        relaying = _Relay(listener, agent)
        try:
            yield
        finally:
            relaying.close()


def _bind(listener: socket.socket, path: str) -> None:
    """A socket's address has 107 bytes at most, a store's path may have more."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


class _Relay:
    """Its threads: one that waits for callers, and one for each of them."""

    def __init__(self, listener: socket.socket, agent: str) -> None:
        self._listener = listener
        self._agent = agent
        self._lock = threading.Lock()
        self._callers: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        self._thread.join()
        with self._lock:
            for caller in self._callers:
                caller.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._callers.add(caller)
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            with connected(self._agent) as agent:
                while (request := receive(caller)) is not None:
                    send(caller, self._answer(agent, request))
        except (OSError, WherryError):
            pass  # one of the two hung up, or speaks something else: the caller sees its connection end
        finally:
            with self._lock:
                self._callers.discard(caller)
                caller.close()

    def _answer(self, agent: socket.socket, request: bytes) -> bytes:
        if request[:1] and request[0] in _PASSED_ON:
            send(agent, request)
            return receive(agent) or _FAILURE
        return _FAILURE


def connected(path: str) -> socket.socket:
    """A connection to the socket at `path`."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}/{name}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(descriptor)
    return connection


def receive(connection: socket.socket) -> bytes | None:
    """One message without its length; None where the other side has ended."""
    header = _read(connection, 4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack(">I", header)
    if not 0 < length <= _LONGEST:
        raise WherryError(f"a message of {length} bytes for an ssh agent")
    body = _read(connection, length)
    return body if len(body) == length else None


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(struct.pack(">I", len(message)) + message)


def _read(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (piece := connection.recv(length - len(data))):
        data += piece
    return bytes(data)
