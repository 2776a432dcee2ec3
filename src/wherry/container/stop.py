"""End containers and delete them."""

from __future__ import annotations

import select
import signal
import socket
import time

from wherry.base.errors import WherryError
from wherry.container import control, monitor, signals
from wherry.container.containers import Container, Containers

GRACE = 10.0
"""Seconds between the stop signal and SIGKILL: docker's default."""

_POLL = 0.02


def stop(root: str, name: str, seconds: float = GRACE) -> None:
    """Send the stop signal, after `seconds` SIGKILL (never, where it is negative), and wait for the end.

    A container that does not run is no error. NotFound where there is none of that name.
    """
    container = Containers(root).find(name)
    if container.is_running:
        stop_signal = signals.number_of(container.spec.stop_signal)
        _end(root, container, [(stop_signal, seconds), (signal.SIGKILL, -1)])


def kill(root: str, container: Container) -> None:
    """End a running container at once, and wait for the end."""
    _end(root, container, [(signal.SIGKILL, -1)])


def remove(root: str, name: str, *, force: bool = False, with_volumes: bool = False) -> None:
    """Delete a container; a running one only with `force`. With its anonymous volumes where asked to."""
    container = Containers(root).find(name)
    if container.is_running:
        if not force:
            raise WherryError(
                f"container {container.spec.name} is running",
                hint=f"stop it first with `wherry stop {container.spec.name}`, or use `wherry rm -f`",
            )
        kill(root, container)
    try:
        with container.folder.locked():
            monitor.remove(root, container, with_volumes)
    except FileNotFoundError:
        # It was started with --rm, and is gone with its end.
        return


def _end(root: str, container: Container, steps: list[tuple[int, float]]) -> None:
    try:
        connection = control.connect(container.folder.path)
    except OSError:
        # Its monitor is on its way out, and listens no more.
        _wait_for_state(root, container)
        return
    with connection:
        for number, seconds in steps:
            try:
                control.send(connection, control.SIGNAL, control.number(number))
            except OSError:
                break
            if _ended_within(connection, seconds):
                break
    _wait_for_state(root, container)


def _ended_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the end was told (or the monitor is gone) within that time; a negative one is for ever."""
    deadline = time.monotonic() + seconds
    while True:
        patience = None if seconds < 0 else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([connection], [], [], patience)
        if not readable:
            return False
        packet = control.receive(connection)
        if packet is None or packet.kind == control.ENDED:
            return True


def _wait_for_state(root: str, container: Container) -> None:
    """Until it is written down that the container has ended, or it is gone."""
    while True:
        now = Containers(root).get(container.id)
        if now is None or not now.is_running:
            return
        time.sleep(_POLL)
