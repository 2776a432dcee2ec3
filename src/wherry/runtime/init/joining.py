"""Another process in a container that runs.

The order has the kinds of namespaces to enter (`wherry.join`, a mask of CLONE_NEW*), the `process` and its
filter. The target's descriptors are a pidfd of the container's first process and, where its command is in a
user namespace of its own, one of that namespace.

What the container's processes could have prepared is not trusted: they see the process as soon as it is in
their pid namespace, and own the files that it looks at.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import stat

from . import channel, linux, process
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PTMX = os.makedev(5, 2)


def run(order: dict[str, Any], wherry: _socket.socket, setup: int, target: list[int]) -> NoReturn:
    """Wait for the process, which is a child of this one: a pid namespace is entered by children alone.

    Between the two there is one that enters the other namespaces and gives up all rights that the command is
    not to have. So the container's processes, some of which may be allowed to trace others, see none that has
    more than theirs. It ends when it has left the rest to its own like in the pid namespace.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    maker = linux.clone(0)
    if not maker:
        ours.close()
        _enter(order, wherry, setup, target, theirs.fileno())
    theirs.close()
    number = _number(ours, maker)
    if not number:
        ours.close()  # a process that was made waits for a word
        os.waitpid(maker, 0)
        os._exit(1)  # the maker has told why, or was killed
    channel.announce_birth(wherry, int(number))
    ours.send(channel.GO)
    linux.close_from(0)
    os.waitpid(maker, 0)
    _, state = os.waitpid(int(number), 0)
    os._exit(channel.exit_code(state))


def _number(line: _socket.socket, maker: int) -> bytes:
    """What the maker has made; nothing where it has ended before it said so."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    poll.register(os.pidfd_open(maker), select.POLLIN)
    poll.poll()
    try:
        return line.recv(16, _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def _enter(
    order: dict[str, Any], wherry: _socket.socket, setup: int, target: list[int], line: int
) -> NoReturn:
    linux.die_with_parent()
    channel.announce_birth(wherry)
    process.enter_keyring()
    if not channel.await_go(wherry):
        os._exit(1)
    command = order["process"]
    process.set_score(command)
    linux.hide()  # its memory and its descriptors are the machine's until the command is executed
    try:
        linux.join(target[0], order["wherry.join"])
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise Failed("the container has ended") from None
        raise
    console = _make_terminal(command["user"]["uid"]) if command["terminal"] else None
    channel.announce_start(wherry, [], console)
    namespace = target[1] if len(target) > 1 else -1
    process.execute(command, console, order["linux"].get("wherry.filter", {}), setup, namespace, line)


def _make_terminal(owner: int) -> int:
    """A terminal of the container's, unless something else has been put in its place."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    state = os.fstat(master)
    if not stat.S_ISCHR(state.st_mode) or state.st_rdev != _PTMX:
        raise Failed("the container has no terminals: /dev/pts/ptmx is something else")
    os.set_blocking(master, True)
    os.close(process.use_terminal(master, owner))
    return master
