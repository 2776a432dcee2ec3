"""End containers, wait for their end, and delete them."""

from __future__ import annotations

import select
import signal
import socket
import time
from contextlib import suppress

from wherry.base.errors import WherryError
from wherry.container import control, events, monitor, signals
from wherry.container.containers import Container, Containers
from wherry.container.control import Packet

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
        events.record(container.folder, container.spec, "stop")


def kill(root: str, name: str, number: int = signal.SIGKILL) -> None:
    """Send a signal; with SIGKILL the end is waited for. WherryError where the container does not run."""
    container = Containers(root).find(name)
    if not container.is_running:
        raise WherryError(f"container {container.spec.name} is not running")
    if number == signal.SIGKILL:
        _end(root, container, [(number, -1)])
        return
    # Where nobody listens any more, the container has ended by itself in this moment.
    with suppress(OSError), control.connect(container.folder.path) as connection:
        _send_signal(connection, container, number)


def wait(root: str, name: str) -> int:
    """The exit code of a container, whose end is waited for where it runs; 0 of one that has never run."""
    containers = Containers(root)
    container = containers.find(name)
    if container.is_running:
        with suppress(OSError), control.connect(container.folder.path) as connection:
            if packet := _end_told(connection, -1):
                return packet.number
        # Its monitor was killed, or listens no more: its end is written down.
        _wait_for_state(root, container)
        container = containers.find(container.id)
    return container.state.exit_code


def remove(root: str, name: str, *, force: bool = False, with_volumes: bool = False) -> None:
    """Delete a container; a running one only with `force`. With its anonymous volumes where asked to."""
    container = Containers(root).find(name)
    if container.is_running:
        if not force:
            raise WherryError(
                f"container {container.spec.name} is running",
                hint=f"stop it first with `wherry stop {container.spec.name}`, or use `wherry rm -f`",
            )
        _end(root, container, [(signal.SIGKILL, -1)])
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
                _send_signal(connection, container, number)
            except OSError:
                break
            if _end_told(connection, seconds):
                break
    _wait_for_state(root, container)


def _send_signal(connection: socket.socket, container: Container, number: int) -> None:
    # First, so that it stands in front of what follows from it.
    events.record(container.folder, container.spec, "kill", signal=str(number))
    control.send(connection, control.SIGNAL, control.number(number))


def _end_told(connection: socket.socket, seconds: float) -> Packet | None:
    """What the monitor says of the end, if it comes within that time; a negative one is for ever.

    None too where the monitor is gone.
    """
    deadline = time.monotonic() + seconds
    while True:
        patience = None if seconds < 0 else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([connection], [], [], patience)
        packet = control.receive(connection) if readable else None
        if packet is None or packet.kind == control.ENDED:
            return packet


def _wait_for_state(root: str, container: Container) -> None:
    """Until it is written down that the container has ended, or it is gone."""
    while True:
        now = Containers(root).get(container.id)
        if now is None or not now.is_running:
            return
        time.sleep(_POLL)
