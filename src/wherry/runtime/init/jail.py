"""A container without namespaces: its process lives in a folder that it cannot leave, watched from outside.

The watcher takes in the orphans of what the command starts, and when the command ends, or the helper does, it
kills all that is left. The command has its root changed (chroot), is kept beneath it by Landlock too where
the kernel has that, and has lost the right to change its root again, which is the way out of a chroot.
"""

from __future__ import annotations

import _socket
import os
import select

from . import channel, kin, landlock, linux, process
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_SETUP = 3
_BREATH = 1000  # milliseconds between two looks at orphans that have ended


def run(document: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    linux.outlive_parent()
    linux.take_in_orphans()
    helper = os.pidfd_open(os.getppid())
    pid = linux.clone(0)
    if not pid:
        _run_command(document, wherry)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(_SETUP + 1):
        os.dup2(null, number)
    code = _watch(pid, helper)
    kin.end_all()
    os._exit(code)


def _run_command(document: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    try:
        linux.die_with_parent()
        os.setsid()
        channel.announce_birth(wherry)
        console = _open_terminal(document["process"]) if document["process"]["terminal"] else None
        _confine(document["root"]["path"])
        channel.await_go(wherry)
        channel.announce_start(wherry, [], console)
        process.execute(document["process"], console, document["linux"].get("wherry.filter", {}), keep=_SETUP)
    except Failed as error:
        channel.fail(_SETUP, error.message, error.code)
    except OSError as error:
        channel.fail(_SETUP, f"cannot set up the container: {error.strerror}")
    finally:
        os._exit(1)


def _open_terminal(command: dict[str, Any]) -> int:
    """One of this machine's: it has no name inside."""
    try:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        process.use_terminal(master, command["user"]["uid"])
    except OSError as error:
        raise Failed(f"cannot open a terminal, /dev/ptmx: {error.strerror}") from None
    return master


def _confine(root: str) -> None:
    try:
        os.chroot(root)
        os.chdir("/")
    except OSError as error:
        raise Failed(f"cannot change the root to {root}: {error.strerror}") from None
    linux.no_new_privileges()
    landlock.restrict_to("/")


def _watch(pid: int, helper: int) -> int:
    """Until the command has ended, or the helper; the exit code, 128 + n for signal n."""
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    poll.register(helper, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll(_BREATH)]
        if helper in ready:
            return 1
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                return channel.exit_code(ended[1])
