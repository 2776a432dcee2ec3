"""Packets between a monitor and its clients, and the socket in a folder of any depth."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.container.monitor import control
from wherry.container.monitor.connection import wait_for_start


def test_packets_stay_apart() -> None:
    monitor, client = control.pair()
    with monitor, client:
        control.send(client, control.STDIN, b"abc")
        control.send(client, control.SIGNAL, control.number(15))
        control.send(client, control.WINDOW, control.window(24, 80))
        control.send(client, control.END_OF_STDIN)
        assert control.receive(monitor) == (control.STDIN, b"abc")
        signal = control.receive(monitor)
        assert signal
        assert (signal.kind, signal.number) == (control.SIGNAL, 15)
        window = control.receive(monitor)
        assert window
        assert window.window == (24, 80)
        assert control.receive(monitor) == (control.END_OF_STDIN, b"")
        client.close()
        assert control.receive(monitor) is None
        with pytest.raises(BrokenPipeError):
            control.send(monitor, control.STDOUT, b"x")


def test_largest_packet_is_whole() -> None:
    monitor, client = control.pair()
    with monitor, client:
        control.send(monitor, control.STDOUT, bytes(control.LARGEST))
        assert control.receive(client) == (control.STDOUT, bytes(control.LARGEST))


def test_socket_in_a_deep_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    for _ in range(2):
        with control.listen(str(folder)) as listener, control.connect(str(folder)) as client:
            accepted, _ = listener.accept()
            with accepted:
                control.send(client, control.ATTACH)
                assert control.receive(accepted) == (control.ATTACH, b"")
    with pytest.raises(ConnectionRefusedError):
        control.connect(str(folder))
    with pytest.raises(FileNotFoundError):
        control.connect(str(tmp_path))
    assert isinstance(listener, socket.socket)


def test_what_was_said_before_a_reset_is_heard() -> None:
    """Who leaves with a packet unread resets the connection (unix(7))."""
    monitor, client = control.pair()
    with client:
        control.send(client, control.ATTACH)
        control.send(monitor, control.ENDED, control.number(3))
        monitor.close()
        told = control.receive(client)
        assert told
        assert (told.kind, told.number) == (control.ENDED, 3)
        assert control.receive(client) is None


def test_an_end_that_comes_before_a_start_is_told() -> None:
    """Who has a command executed is connected with the container's first process until that runs."""
    monitor, client = control.pair()
    with monitor:
        control.send(monitor, control.ENDED, control.number(137))
        with pytest.raises(WherryError, match="the container has ended"):
            wait_for_start(client)
        assert client.fileno() == -1
