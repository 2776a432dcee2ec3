"""Answers calls about owners and users for a container that has a single id (`listener` hears of them).

What is asked for is remembered where it can be found again: a new owner in an extended attribute of the file
itself (`wherry/layer/owners.py`), so it goes where the file goes; what has no such attributes, symbolic links
for the most part, in a journal; the ids of a process by `credentials.py`. A device becomes an empty file with
an attribute.

The order has `answers`: the names of calls by architecture and number; `user`: uid, gid and groups that the
container starts with; `shown`: the ids that stat(2) shows there for every file; `root`: the root filesystem;
`upper` and `journal`: overlay's upper folder and a file to add to, or neither.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from . import linux
from .credentials import Credentials, Refused, answer
from .makers import Made, make
from .memory import Memory
from .targets import Target, Targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SEND, _STILL_VALID, _ADD = 0xC0182101, 0x40082102, 0x40182103
_CONTINUE = 1
_ADD_AND_SEND = 2
_ANSWER = struct.Struct("=QqiI")
_ADDED = struct.Struct("=QIIII")
_LISTENER = 0
_EMPTY_PATH, _NO_FOLLOW = 0x1000, 0x100
_NONE = 0xFFFFFFFF


class Notifier:
    def __init__(self, order: dict[str, Any], memory: Memory) -> None:
        self._names: dict[tuple[int, int], str] = order["answers"]
        uid, gid, groups = order["user"]
        self._credentials = Credentials(uid, gid, tuple(groups))
        self._memory = memory
        self._targets = Targets(memory, order)

    def hear(self, cookie: int, pid: int, call: tuple[int, int], arguments: tuple[int, ...]) -> bool:
        """Answer the call; False for one that is nothing to the notifier."""
        name = self._names.get(call)
        if name is None or not _concerns_ids(name, arguments):
            return False
        if name in _MAKING:
            self._make(cookie, pid, name, arguments)
        else:
            result, failure = self._answer(cookie, pid, name, arguments)
            self._send(cookie, result, -failure)
        return True

    def _send(self, cookie: int, result: int, failure: int, flags: int = 0) -> None:
        try:
            fcntl.ioctl(_LISTENER, _SEND, _ANSWER.pack(cookie, result, failure, flags))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise  # else who asked was killed

    def _make(self, cookie: int, pid: int, name: str, arguments: tuple[int, ...]) -> None:
        """A new file: the kernel makes it, unless it is to belong to another user than the first one."""
        made: Made | None = None
        try:
            ids = self._credentials.of(pid)
            if ids is not self._credentials.first:
                made = make(
                    name, arguments, pid, ids, self._targets, self._memory, lambda: self._check_valid(cookie)
                )
        except OSError as error:
            self._send(cookie, 0, -(error.errno or errno.EIO))
            return
        if made is None:
            self._send(cookie, 0, 0, _CONTINUE)
        elif made.descriptor < 0:
            self._send(cookie, 0, 0)
        else:
            self._hand_over(cookie, made.descriptor, made.closes)

    def _hand_over(self, cookie: int, descriptor: int, closes: bool) -> None:
        """The call gives the caller this descriptor (Linux 5.14)."""
        new_flags = os.O_CLOEXEC if closes else 0
        try:
            fcntl.ioctl(_LISTENER, _ADD, _ADDED.pack(cookie, _ADD_AND_SEND, descriptor, 0, new_flags))
        except OSError as error:
            self._send(cookie, 0, -(error.errno or errno.EIO))
        finally:
            os.close(descriptor)

    def _answer(self, cookie: int, pid: int, name: str, arguments: tuple[int, ...]) -> tuple[int, int]:
        """The call's result and error number, one of them zero."""
        try:
            handler = _HANDLERS.get(name.removesuffix("16"))
            if handler is None:
                return answer(name, arguments, pid, self._credentials, self._memory), 0
            if name.endswith("16"):
                arguments = _widened(arguments)
            handler(self, cookie, pid, arguments)
            return 0, 0
        except Refused as error:
            return 0, error.number
        except OSError as error:
            return 0, error.errno or errno.EIO

    def _check_valid(self, cookie: int) -> None:
        """Whoever asked is still the process that was looked at: its number may have passed to another."""
        fcntl.ioctl(_LISTENER, _STILL_VALID, struct.pack("=Q", cookie))

    def _give(self, cookie: int, pid: int, target: Target, uid: int, gid: int) -> None:
        uid, gid = uid & _NONE, gid & _NONE
        if not self._credentials.of(pid).may_give(uid, gid):
            raise Refused(errno.EPERM)
        descriptor = self._targets.open(pid, target)
        try:
            self._check_valid(cookie)
            self._targets.give(descriptor, uid, gid)
        finally:
            os.close(descriptor)

    def _chown(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        self._give(cookie, pid, Target(linux.AT_FDCWD, arguments[0], follow=True), *arguments[1:3])

    def _lchown(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        self._give(cookie, pid, Target(linux.AT_FDCWD, arguments[0], follow=False), *arguments[1:3])

    def _fchown(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        self._give(cookie, pid, Target(_signed(arguments[0])), *arguments[1:3])

    def _fchownat(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        folder, path, uid, gid, flags = arguments[:5]
        if flags & ~(_EMPTY_PATH | _NO_FOLLOW) & _NONE:
            raise Refused(errno.EINVAL)
        target = Target(
            _signed(folder), path, follow=not flags & _NO_FOLLOW, may_be_empty=bool(flags & _EMPTY_PATH)
        )
        self._give(cookie, pid, target, uid, gid)

    def _mknod(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        self._mknodat(cookie, pid, (linux.AT_FDCWD, *arguments))

    def _mknodat(self, cookie: int, pid: int, arguments: tuple[int, ...]) -> None:
        folder, path, mode, device = arguments[:4]
        if not self._credentials.of(pid).is_root:
            raise Refused(errno.EPERM)
        if stat.S_ISCHR(mode) and not device & _NONE:
            raise Refused(errno.EPERM)  # as overlay does: it would hide what is below
        self._targets.make_device(
            pid,
            Target(_signed(folder), path),
            mode & 0xFFFF,
            device & _NONE,
            lambda: self._check_valid(cookie),
        )


if TYPE_CHECKING:
    Handler = Callable[[Notifier, int, int, tuple[int, ...]], None]

_MAKING = {"open", "openat", "creat", "mkdir", "mkdirat", "symlink", "symlinkat"}
_OPENING = {"open": 1, "openat": 2}
"""The argument with the flags, as in the next one the argument with the kind of file."""
_NODES = {"mknod": 1, "mknodat": 2}
_HANDLERS: dict[str, Handler] = {
    "chown": Notifier._chown,
    "lchown": Notifier._lchown,
    "fchown": Notifier._fchown,
    "fchownat": Notifier._fchownat,
    "mknod": Notifier._mknod,
    "mknodat": Notifier._mknodat,
}


def _concerns_ids(name: str, arguments: tuple[int, ...]) -> bool:
    """Others are heard of where the container is observed: files that are there, pipes, plain files."""
    if name in _OPENING:
        return bool(arguments[_OPENING[name]] & os.O_CREAT)
    if name in _NODES:
        mode = arguments[_NODES[name]]
        return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    return True


def _signed(descriptor: int) -> int:
    descriptor &= _NONE
    return descriptor - (1 << 32) if descriptor >> 31 else descriptor


def _widened(arguments: tuple[int, ...]) -> tuple[int, ...]:
    """A chown with 16-bit ids, as one with 32."""
    ids = (_NONE if value & 0xFFFF == 0xFFFF else value & 0xFFFF for value in arguments[1:3])
    return (arguments[0], *ids)
