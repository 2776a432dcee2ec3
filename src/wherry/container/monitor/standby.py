"""A monitor that comes up while its container is still being created; `supervise` is its own side."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from wherry.container.monitor import control
from wherry.container.options.networking import DEFAULT, HOST, NONE
from wherry.container.options.options import Options
from wherry.container.state import Spec
from wherry.runtime.net.ports import Listener


class Standby:
    """A child of this process's that will be the monitor of the container that `begin` names; without it, it
    ends with this object.

    The calling process must have one thread and no open store: it forks, and SQLite's locks do not survive
    that. The child enters the mode `isolation`; with None it is the container that says what to enter.
    `listeners` hold the container's ports.
    """

    def __init__(self, isolation: str | None, listeners: Sequence[Listener] = ()) -> None:
        self._isolation = isolation
        self._connection, theirs = control.pair()
        self._has_begun = False
        with theirs:
            _fork(isolation, theirs, listeners)

    def suits(self, spec: Spec) -> bool:
        """Whether one that came up without ports is what a container needs."""
        return self._isolation == spec.isolation and not spec.ports and is_plain(spec)

    def begin(self, root: str, container_id: str, attached: bool) -> socket.socket:
        """Have it start the container; the connection to it, on which it tells `s` or `f`.

        With `attached` all output comes over the connection too.
        """
        order = {"root": root, "id": container_id, "attached": attached}
        with suppress(OSError):  # what has ended it is told when the connection is read
            control.send(self._connection, control.BEGIN, json.dumps(order).encode("ascii"))
        self._has_begun = True
        return self._connection

    def __enter__(self) -> Standby:
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._has_begun:
            self._connection.close()


def stand_by(wanted: Options) -> Standby | None:
    """A monitor for a container that is about to be created; None where more is to be known of it first."""
    if wanted.ports or wanted.publish_all or not is_plain(wanted):
        return None
    return Standby(wanted.isolation)


def is_plain(container: Options | Spec) -> bool:
    """Whether its mode is its own business: it has no network in common with another one."""
    return container.network in (DEFAULT, HOST, NONE) and not container.networks.attachments


def _fork(isolation: str | None, connection: socket.socket, listeners: Sequence[Listener]) -> None:
    """The monitor is a grandchild: it is nobody's to wait for, and its end leaves nothing behind."""
    child = os.fork()
    if child == 0:
        try:
            if os.fork() == 0:
                from wherry.container.monitor.supervise import supervise

                supervise(isolation, connection, listeners)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
