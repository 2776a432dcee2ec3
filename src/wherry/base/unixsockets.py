"""Unix sockets that keep packets apart (SOCK_SEQPACKET), in folders however deep."""

from __future__ import annotations

import os
import socket


def listen(folder: str, name: str) -> socket.socket:
    """A socket that listens at `name` in the folder, for this user alone; one that was there is replaced."""
    path = f"{folder}/{name}"
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _Short(folder) as short:
        listener.bind(f"{short}/{name}")
    os.chmod(path, 0o600)
    listener.listen(16)
    return listener


def connect(folder: str, name: str) -> socket.socket:
    """A connection to it; ConnectionRefusedError or FileNotFoundError where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _Short(folder) as short:
            connection.connect(f"{short}/{name}")
    except BaseException:
        connection.close()
        raise
    return connection


class _Short:
    """A short name of a folder: a socket's path may have 107 bytes, and a store may lie deeper than that."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._descriptor = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_error: object) -> None:
        os.close(self._descriptor)
