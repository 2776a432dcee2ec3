"""New files of a process that has changed its user: made here in its place, so that they get their owner."""

from __future__ import annotations

import errno
import os

from . import linux
from .targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .credentials import Ids
    from .memory import Memory
    from .targets import Targets

_NONE = 0xFFFFFFFF


class Made:
    """`descriptor`: what the call gives, or -1 for none; `closes` it at exec."""

    def __init__(self, descriptor: int = -1, closes: bool = False) -> None:
        self.descriptor = descriptor
        self.closes = closes


def make(
    name: str,
    arguments: tuple[int, ...],
    pid: int,
    ids: Ids,
    targets: Targets,
    memory: Memory,
    check: Callable[[], None],
) -> Made | None:
    """Do what the call `name` does; None where it makes nothing, which is the kernel's to find out again.

    `check` raises where the process is not the one that called any more.
    """
    text = b""
    if name.startswith("symlink"):
        text, arguments = memory.read_path(pid, arguments[0]), arguments[1:]
    if name.endswith("at"):
        folder, arguments = arguments[0] & _NONE, arguments[1:]
        folder -= (folder >> 31) << 32
    else:
        folder = linux.AT_FDCWD
    try:
        above, last = targets.parent(pid, Target(folder, arguments[0]))
    except OSError:
        return None
    try:
        check()
        mask = targets.mask_of(pid)
        if name.startswith("symlink"):
            os.symlink(text, last, dir_fd=above)
        elif name.startswith("mkdir"):
            os.mkdir(last, arguments[1] & 0o1777 & ~mask, dir_fd=above)
        else:
            return _open(name, arguments, above, last, mask, ids, targets)
        made = os.open(last, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
        try:
            targets.mark_maker(made, above, ids.user[3], ids.group[3])
        finally:
            os.close(made)
        return Made()
    finally:
        os.close(above)


def _open(
    name: str, arguments: tuple[int, ...], above: int, last: bytes, mask: int, ids: Ids, targets: Targets
) -> Made | None:
    if name == "creat":
        flags, mode = os.O_CREAT | os.O_WRONLY | os.O_TRUNC, arguments[1]
    else:
        flags, mode = arguments[1], arguments[2]
    first = flags & _NONE | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(last, first, mode & 0o7777 & ~mask, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOENT, errno.EINVAL, errno.EISDIR):
            return None
        raise
    try:
        targets.mark_maker(descriptor, above, ids.user[3], ids.group[3])
    except BaseException:
        os.close(descriptor)
        raise
    return Made(descriptor, bool(flags & os.O_CLOEXEC))
