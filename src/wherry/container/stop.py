"""End containers, wait for their end, and delete them."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import suppress

from wherry.base.errors import WherryError
from wherry.container import events, removal, signals
from wherry.container.containers import Container, Containers
from wherry.container.monitor import control, failures
from wherry.container.monitor.connection import Started, again
from wherry.container.monitor.control import Packet
from wherry.container.run import start
from wherry.container.state import PAUSED

GRACE = 10.0
"""Seconds between the stop signal and SIGKILL: docker's default."""

_POLL = 0.02


def stop(root: str, name: str, seconds: float | None = None, number: int | None = None) -> None:
    """Send the stop signal, after `seconds` SIGKILL (never, where it is negative), and wait for the end.

    None is the container's own time, of `--stop-timeout`, and its own signal. A container that does not run
    is no error. NotFound where there is none of that name.
    """
    container = Containers(root).find(name)
    if container.is_running:
        _end(root, container, _stop_signal(container, number), _patience(container, seconds))
        events.record(container.folder, container.spec, "stop")


def kill(root: str, name: str, number: int = signal.SIGKILL) -> None:
    """Send a signal; with SIGKILL the end is waited for. WherryError where the container does not run."""
    container = Containers(root).find(name)
    if not container.is_running:
        raise WherryError(f"container {container.spec.name} is not running")
    if number == signal.SIGKILL:
        _end(root, container, number)
        return
    # Where nobody listens any more, the container has ended by itself in this moment.
    with suppress(OSError), control.connect(container.folder.path) as connection:
        # First, so that it stands in front of what follows from it.
        events.record(container.folder, container.spec, "kill", signal=str(number))
        control.send(connection, control.SIGNAL, control.number(number))


def wait(root: str, name: str) -> int:
    """The exit code of a container, whose end is waited for where it runs; 0 of one that has never run."""
    containers = Containers(root)
    container = containers.find(name)
    if container.is_running:
        with suppress(OSError), control.connect(container.folder.path) as connection:
            if packet := _end_told(connection):
                return packet.number
        # Its monitor was killed, or listens no more: its end is written down.
        _wait_for_state(root, container)
        container = containers.find(container.id)
    return container.state.exit_code


def restart(root: str, name: str, seconds: float | None = None, number: int | None = None) -> Started:
    """As `stop`, then start it; one that does not run is started.

    The container's monitor does it where there is one: a container with --rm is not gone in between.
    """
    container = Containers(root).find(name)
    started = None
    if container.is_running:
        started = again(container, _stop_signal(container, number), _patience(container, seconds))
    if started is None:
        _wait_for_state(root, container)
        started = start(root, Containers(root).find(container.id).id)
    events.record(container.folder, container.spec, "restart")
    return started


def remove(root: str, name: str, *, force: bool = False, with_volumes: bool = False) -> None:
    """Delete a container; a running one only with `force`. With its anonymous volumes where asked to."""
    container = Containers(root).find(name)
    if container.is_running:
        if not force and container.state.status == PAUSED:
            raise failures.paused(container.spec.name)
        if not force:
            raise WherryError(
                f"container {container.spec.name} is running",
                hint=f"stop it first with `wherry stop {container.spec.name}`, or use `wherry rm -f`",
            )
        _end(root, container, signal.SIGKILL)
    try:
        with container.folder.locked():
            removal.remove(root, container, with_volumes)
    except FileNotFoundError:
        # It was started with --rm, and is gone with its end.
        return


def _stop_signal(container: Container, number: int | None) -> int:
    return signals.number_of(container.spec.stop_signal) if number is None else number


def _patience(container: Container, seconds: float | None) -> float:
    if seconds is not None:
        return seconds
    own = container.spec.stop_timeout
    return GRACE if own is None else float(own)


def _end(root: str, container: Container, number: int, seconds: float = -1) -> None:
    """Have its monitor end it for good, and wait for that."""
    try:
        with control.connect(container.folder.path) as connection:
            control.send(connection, control.END, control.ending(number, seconds))
            _end_told(connection)
    except OSError:
        pass  # its monitor is on its way out, and listens no more
    _wait_for_state(root, container)


def _end_told(connection: socket.socket) -> Packet | None:
    """What the monitor says of the end; None where the monitor is gone."""
    while True:
        packet = control.receive(connection)
        if packet is None or packet.kind == control.ENDED:
            return packet


def _wait_for_state(root: str, container: Container) -> None:
    """Until it is written down that the container has ended, or it is gone."""
    while True:
        now = Containers(root).get(container.id)
        if now is None or not now.is_running:
            return
        time.sleep(_POLL)
