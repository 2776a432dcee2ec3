"""Another process in a container that runs.

The order has the kinds of namespaces to enter (`wherry.join`, a mask of CLONE_NEW*), the `process` and its
filter. The target's descriptors are a pidfd of the container's first process and, where its command is in a
user namespace of its own, one of that namespace.

What the container's processes could have prepared is not trusted: they see this process as soon as it is in
their pid namespace, and own the files that it looks at.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat

from . import channel, linux, process
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PTMX = os.makedev(5, 2)


def run(order: dict[str, Any], wherry: _socket.socket, setup: int, target: list[int]) -> NoReturn:
    """Wait for a child that becomes the process: a pid namespace is entered by children alone."""
    linux.hide()  # its memory and its descriptors are the machine's until the command is executed
    try:
        linux.join(target[0], order["wherry.join"])
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise Failed("the container has ended") from None
        raise
    pid = linux.clone(0)
    if not pid:
        _execute(order, wherry, setup, target[1] if len(target) > 1 else -1)
    channel.announce_birth(wherry, pid)
    linux.close_from(0)
    _, state = os.waitpid(pid, 0)
    os._exit(channel.exit_code(state))


def _execute(order: dict[str, Any], wherry: _socket.socket, setup: int, namespace: int) -> NoReturn:
    linux.die_with_parent()
    os.setsid()
    process.enter_keyring()
    if not channel.await_go(wherry):
        os._exit(1)
    command = order["process"]
    console = _make_terminal(command["user"]["uid"]) if command["terminal"] else None
    channel.announce_start(wherry, [], console)
    process.execute(command, console, order["linux"].get("wherry.filter", {}), setup, namespace)


def _make_terminal(owner: int) -> int:
    """A terminal of the container's, unless something else has been put in its place."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    state = os.fstat(master)
    if not stat.S_ISCHR(state.st_mode) or state.st_rdev != _PTMX:
        raise Failed("the container has no terminals: /dev/pts/ptmx is something else")
    os.set_blocking(master, True)
    os.close(process.use_terminal(master, owner))
    return master
