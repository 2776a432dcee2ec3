"""Connections to a container's monitor that stand for one of its processes."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.container import events
from wherry.container.containers import Container
from wherry.container.monitor import control, failures
from wherry.container.monitor.execution import Order
from wherry.container.state import PAUSED, RESTARTING


class Failed(WherryError):
    """The container could not be started; nothing of it runs. The exit code is docker's: 125, 126 or 127."""

    def __init__(self, message: str, hint: str, excerpt: str, exit_code: int) -> None:
        super().__init__(message, hint=hint, excerpt=excerpt)
        self.exit_code = exit_code


class Started(NamedTuple):
    """A process that runs: the connection to its monitor, and a note for the user (empty: none).

    `terminal`: whether it has one; `interactive`: whether it has a stdin. `session`: 0 is that of the
    container's first process.
    """

    name: str
    connection: socket.socket
    note: str
    terminal: bool
    interactive: bool
    session: int = 0


def join(container: Container) -> Started:
    """The first process, to get what it writes from now on; WherryError where the container does not run."""
    if container.state.status == RESTARTING:
        raise failures.restarting(container.spec.name)
    if container.state.status == PAUSED:
        raise failures.paused(container.spec.name)
    connection, spec = _connect(container), container.spec
    with suppress(OSError):  # where it ends in this moment, that is seen when the connection is read
        control.send(connection, control.ATTACH)
        events.record(container.folder, spec, "attach")
    return Started(spec.name, connection, "", spec.terminal, spec.interactive)


def execute(container: Container, order: Order) -> Started:
    """Have the container's monitor execute it; WherryError where the container does not run, Failed where the
    command cannot be executed."""
    connection = _connect(container)
    raw = order.encode()
    with suppress(OSError):
        for start in range(0, len(raw), control.LARGEST):
            control.send(connection, control.ORDER, raw[start : start + control.LARGEST])
        control.send(connection, control.EXECUTE)
    words = wait_for_start(connection)
    name, session = container.spec.name, words["session"]
    return Started(name, connection, "", order.terminal, order.interactive, session)


def again(container: Container, number: int, seconds: float) -> Started | None:
    """Have the container's monitor end it, by a signal and after so many seconds by SIGKILL, and start it.

    Failed where it cannot be started again; None where its monitor is gone, or goes without starting it.
    """
    try:
        connection = control.connect(container.folder.path)
    except OSError:
        return None
    with suppress(OSError):
        control.send(connection, control.AGAIN, control.ending(number, seconds))
    try:
        while packet := control.receive(connection):
            if packet.kind == control.FAILED:
                raise failure(packet)
            if packet.kind == control.STARTED:
                note, spec = json.loads(packet.data)["note"], container.spec
                return Started(spec.name, connection, note, spec.terminal, spec.interactive)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def tell(container: Container, word: bytes) -> None:
    """Have the monitor pause the container, or let it go on, and wait until that is done; Failed, where it
    cannot be."""
    with _connect(container) as connection:
        with suppress(OSError):
            control.send(connection, word)
        while packet := control.receive(connection):
            if packet.kind == control.FAILED:
                raise failure(packet)
            if packet.kind == control.DONE:
                return
    raise WherryError(f"container {container.spec.name} has ended")


def wait_for_start(connection: socket.socket) -> dict[str, Any]:
    """What the monitor says of the start. Failed where there was none; the connection is closed then."""
    try:
        packet = control.receive(connection)
        if packet is None:
            raise WherryError("the container's monitor was killed while it was starting the process")
        if packet.kind == control.FAILED:
            raise failure(packet)
        if packet.kind == control.ENDED:
            raise WherryError("the container has ended")
    except BaseException:
        connection.close()
        raise
    words: dict[str, Any] = json.loads(packet.data)
    return words


def failure(packet: control.Packet) -> Failed:
    """What the monitor could not do, in its own words."""
    words = json.loads(packet.data)
    return Failed(words["message"], words["hint"], words["excerpt"], words["exit_code"])


def _connect(container: Container) -> socket.socket:
    name = container.spec.name
    try:
        return control.connect(container.folder.path)
    except OSError:
        raise WherryError(
            f"container {name} is not running", hint=f"`wherry start {name}` starts it"
        ) from None
