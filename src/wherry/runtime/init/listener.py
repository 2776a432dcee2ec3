"""Beside a container: hears its system calls by seccomp's notifications, and answers or lets them go on.

The order has one or both of `ids`, what `notifier` needs to answer for a container that has a single id, and
`observed`, what `observer` needs to put down what is looked at; `result` there is the new file that it is
written to in the end (marshal: observations, changes of names, why they are not all, and whether a network
may have been used; see `observer`).
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import marshal
import os
import select
import struct

from . import channel, hearing, linux
from .hearing import Hearing
from .memory import Memory
from .notifier import Notifier
from .observer import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_RECEIVE, _SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_SYNC_WAKE_UP = 1  # since Linux 6.6: whoever asks is woken on the processor that answers
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_LISTENER = 0
_ENDS_A_RECEIVE = (6, 11)
"""Linux ends a receive that nobody is left for; an older one would wait for ever, so it is asked first."""


def run(order: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    channel.announce_birth(wherry)
    listener = Listener(order)
    if not channel.await_go(wherry):
        os._exit(1)
    channel.announce_start(wherry, [], None)
    wherry.close()
    listener.serve()
    listener.finish()
    os._exit(0)


class Listener:
    def __init__(self, order: dict[str, Any]) -> None:
        os.umask(0)  # each caller has its own
        memory = Memory()
        self._notifier = Notifier(order["ids"], memory) if "ids" in order else None
        self._observer = self._hearing = None
        self._polls = linux.release() < _ENDS_A_RECEIVE
        if "observed" in order:
            proc = linux.new_mount("proc", [], 0)
            self._observer = Observer(memory, proc, order["observed"])
            self._result = _new(order["observed"]["result"])
            self._hearing = self._compiled(proc, order)

    def serve(self) -> None:
        """Until the last process that may ask is gone."""
        try:
            linux.control(_LISTENER, _SET_FLAGS, _SYNC_WAKE_UP)
        except OSError:
            pass  # an older kernel is slower
        notification = bytearray(_NOTIFICATION.size)
        while self._receive(notification):
            cookie, pid, _, number, architecture, _, *arguments = _NOTIFICATION.unpack(notification)
            if self._observer is not None:
                self._observer.hear(pid, architecture, number, arguments)
            if self._notifier is None or not self._notifier.hear(
                cookie, pid, (architecture, number), tuple(arguments)
            ):
                _let_go_on(cookie)

    def finish(self) -> None:
        """Write down what was observed. On a full disk that is not whole, and so it says nothing."""
        if self._observer is None:
            return
        if self._hearing is not None:
            for path, looks in self._hearing.seen():
                self._observer.see(b"", path, looks)
        seen = self._observer
        data = memoryview(marshal.dumps((seen.seen, seen.changes, seen.problem, seen.networked)))
        try:
            while data:
                data = data[os.write(self._result, data) :]
        except OSError:
            pass

    def _compiled(self, proc: int, order: dict[str, Any]) -> Hearing | None:
        """What hears the plain calls, where it is there and wanted."""
        wanted = order["observed"]["compiled"] and order["observed"]["calls"]
        library = hearing.load() if wanted else None
        if library is None:
            return None
        answered = order["ids"]["answers"] if "ids" in order else ()
        return hearing.Hearing(library, (_LISTENER, proc), self._polls, order["observed"], answered)

    def _receive(self, notification: bytearray) -> bool:
        """The next call that is to be heard here; False at the end."""
        if self._hearing is None or self._observer is None:
            return _received(notification, self._polls)
        if self._observer.roots_changed:
            return _received(notification, self._polls)  # names are no longer what they say
        is_one = self._hearing.receive(notification)
        self._observer.changes += self._hearing.changes()
        return is_one


def _received(notification: bytearray, polls: bool) -> bool:
    while not polls or _is_alive(-1):
        notification[:] = bytes(len(notification))
        try:
            fcntl.ioctl(_LISTENER, _RECEIVE, notification)
            return True
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):
                raise
        if not _is_alive(0):
            return False
        # else who asked was killed
    return False


def _is_alive(timeout: int) -> bool:
    """Whether somebody is there who may ask. Waits for a call, or for the end, unless `timeout` is 0."""
    poll = select.poll()
    poll.register(_LISTENER, select.POLLIN)
    return all(events & select.POLLIN for _, events in poll.poll(timeout))


def _new(path: str) -> int:
    """A descriptor to write to, of no file where the disk is full."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return -1


def _let_go_on(cookie: int) -> None:
    try:
        fcntl.ioctl(_LISTENER, _SEND, _ANSWER.pack(cookie, 0, 0, _GO_ON))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise  # else who asked was killed
