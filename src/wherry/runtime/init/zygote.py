"""The helper: one thread, no memory of its own work but the children that run.

A request is one message on the control socket (descriptor 0 at start): the clone flags as eight bytes, with
descriptors: the order (marshal, in a memfd; an OCI config, or what `supervisor` takes), the container's
stdin, stdout and stderr, a socket on which the child speaks with wherry until it executes the command
(`channel`), a pipe on which the exit status is reported as four bytes when the child has ended, and those
that name a container to be entered (`joining`). So requests need no numbers and wherry no dispatcher: whoever
started a container holds the other ends.

The helper is the first process of a pid namespace. When it ends, for whatever reason, the kernel kills every
container; and it ends when wherry does, seen by a pidfd (PDEATHSIG would mean the thread that started it).
With the word `jail` it is in no namespace of its own, and kills them itself (`kin`); should it be killed, the
watchers of its containers do (`jail`).
"""

from __future__ import annotations

import _socket  # socket and signal import enum and selectors: 6 ms for names that are not needed here
import fcntl
import gc
import os
import select
import struct
import sys

from . import channel, child, kin, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DESCRIPTORS = 8
_STATUS = 5


def main() -> None:
    control = _take_control()
    parent = os.pidfd_open(os.getppid())
    sys.meta_path.clear()  # a child that imported after its change of root would run the image's code
    gc.disable()
    gc.freeze()
    if "jail" in sys.argv[2:]:
        linux.take_in_orphans()
        _serve(control, parent, kin.end_all)
        kin.end_all()
        return
    try:
        first = linux.clone(linux.CLONE_NEWPID)
    except OSError as error:
        _refuse(control, f"cannot create a pid namespace: {error.strerror}")
        return
    if first:
        control.close()
        os.waitpid(first, 0)
        return
    linux.die_with_parent()
    _serve(control, parent)
    os._exit(0)


def _take_control() -> _socket.socket:
    linux.close_from(3)
    control = _socket.socket(
        _socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    )
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return control


def _serve(
    control: _socket.socket, parent: int, clear: Callable[[frozenset[int]], None] | None = None
) -> None:
    """Answer requests and report ends, until wherry closes the control socket or dies.

    `clear` is called when one has ended, with the others' pids: the watcher of a jail may have been killed.
    """
    running: dict[int, tuple[int, int]] = {}  # pidfd -> pid, status pipe
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(parent, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == parent:
                return
            if descriptor in running:
                poll.unregister(descriptor)
                os.close(descriptor)
                pid, status = running.pop(descriptor)
                _, state = os.waitpid(pid, 0)
                if clear:
                    clear(frozenset(pid for pid, _ in running.values()))
                _report_end(state, status)
                continue
            request = _receive(control)
            if request is None:
                return
            flags, descriptors = request
            started = _start(flags, descriptors)
            if started:
                pidfd, pid = started
                running[pidfd] = pid, descriptors[_STATUS]
                poll.register(pidfd, select.POLLIN)
        _take_in({pid for pid, _ in running.values()})


def _take_in(known: set[int]) -> None:
    """Wait for what has ended and is nobody else's to wait for: orphans come to this process."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)


def _receive(control: _socket.socket) -> tuple[int, tuple[int, ...]] | None:
    """Clone flags and descriptors of the next request; None at the end."""
    data, ancillary, _, _ = control.recvmsg(8, _socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS))
    if not data:
        return None
    (flags,) = struct.unpack("=Q", data)
    packed = ancillary[0][2]
    return flags, struct.unpack(f"={len(packed) // 4}i", packed)


def _start(flags: int, descriptors: tuple[int, ...]) -> tuple[int, int] | None:
    """Fork the child; its pidfd and pid. Of the descriptors only the status pipe stays open here."""
    order, stdin, stdout, stderr, setup, status, *target = descriptors
    try:
        pid = linux.clone(flags)
        if not pid:
            child.run(order, (stdin, stdout, stderr), setup, target)
        return os.pidfd_open(pid), pid
    except OSError as error:
        channel.fail(setup, f"cannot create namespaces: {error.strerror}")
        os.close(status)
        return None
    finally:
        for descriptor in descriptors:
            if descriptor != status:
                os.close(descriptor)


def _report_end(state: int, status: int) -> None:
    try:
        os.write(status, struct.pack("=i", channel.exit_code(state)))
    except OSError:
        pass  # nobody waits for this one any more
    os.close(status)


def _refuse(control: _socket.socket, reason: str) -> None:
    """Answer every request with `reason`."""
    while request := _receive(control):
        channel.fail(request[1][4], reason)
        for descriptor in request[1]:
            os.close(descriptor)
