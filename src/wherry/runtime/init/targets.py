"""The files that a container's calls name: found as the kernel would find them there, and marked.

A name is looked up with the caller's root and folder: this process makes the root its own first, so that no
link leads elsewhere. What is done is done to a descriptor then.
"""

from __future__ import annotations

import errno
import os
import stat

from . import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .memory import Memory

OWNER, DEVICE = "user.wherry.owner", "user.wherry.device"
_NONE = 0xFFFFFFFF
_OWN = ((b"/proc/self/", b""), (b"/proc/thread-self/", b""), (b"/dev/fd/", b"fd/"))
_STREAMS = {b"/dev/stdin": b"fd/0", b"/dev/stdout": b"fd/1", b"/dev/stderr": b"fd/2"}


class Target:
    """What a call names: a descriptor of its process, or a path from one (`path`: where it is in memory)."""

    def __init__(
        self, folder: int, path: int | None = None, *, follow: bool = False, may_be_empty: bool = False
    ) -> None:
        self.folder = folder
        self.path = path
        self.follow = follow
        self.may_be_empty = may_be_empty


class Targets:
    def __init__(self, memory: Memory, order: dict[str, Any]) -> None:
        self._memory = memory
        self._proc = linux.new_mount("proc", [], 0)  # the one at /proc has other numbers
        self._entered: tuple[int, int] | None = None
        """The root folder of this process, where it is that of a container's process."""
        self._shown: tuple[int, int] = tuple(order["shown"])
        self._device = os.stat(order["root"]).st_dev
        self._upper = self._journal = -1
        if order.get("journal"):
            self._upper = os.open(order["upper"], os.O_PATH | os.O_DIRECTORY)
            self._journal = os.open(order["journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def open(self, pid: int, target: Target) -> int:
        """A descriptor (O_PATH) of the file that is meant."""
        if target.path is None:
            return self._open_own(pid, target.folder)
        path = self._memory.read_path(pid, target.path)
        if not path:
            if not target.may_be_empty:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            return self._open_own(pid, target.folder)
        return self._open_named(pid, target.folder, path, 0 if target.follow else os.O_NOFOLLOW)

    def give(self, file: int, uid: int, gid: int) -> None:
        """Have it belong to the ids given; _NONE leaves one as it is."""
        try:
            # The kernel's own part: a copy of a file of lower layers, set-user-ID bits taken away.
            linux.change_owner(file, -1 if uid == _NONE else 0, -1 if gid == _NONE else 0)
        except OSError as error:
            if error.errno == errno.EPERM:
                return  # a file of the machine's, which is in no layer
            raise
        if uid != _NONE or gid != _NONE:
            self._mark(file, uid, gid)

    def make_device(
        self, pid: int, target: Target, mode: int, device: int, check: Callable[[], None]
    ) -> None:
        """An empty file that stands for a device."""
        mask = self.mask_of(pid)
        above, name = self.parent(pid, target)
        try:
            check()
            os.mknod(name, stat.S_IFREG | stat.S_IMODE(mode), dir_fd=above)
            file = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
        try:
            os.chmod(self._reach(file), stat.S_IMODE(mode) & ~mask)
            kind = "c" if stat.S_ISCHR(mode) else "b"
            text = f"{kind} {os.major(device)} {os.minor(device)}"
            os.setxattr(self._reach(file), DEVICE, text.encode())
        finally:
            os.close(file)

    def parent(self, pid: int, target: Target) -> tuple[int, bytes]:
        """A descriptor of the folder that a path leads to, and its last name with the slashes behind that."""
        assert target.path is not None
        path = self._memory.read_path(pid, target.path)
        folder, slash, _ = path.rstrip(b"/").rpartition(b"/")
        above = folder + slash
        return self._open_named(pid, target.folder, above or b".", os.O_DIRECTORY), path[len(above) :]

    def mark_maker(self, file: int, above: int, uid: int, gid: int) -> None:
        """Have what was just made below the folder `above` belong to who made it."""
        inherits = os.fstat(above).st_mode & stat.S_ISGID
        self._mark(file, uid, _NONE if inherits else gid)

    def _open_own(self, pid: int, number: int) -> int:
        name = "cwd" if number == linux.AT_FDCWD else f"fd/{number}"
        try:
            return os.open(f"{pid}/{name}", os.O_PATH, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _open_named(self, pid: int, folder: int, path: bytes, flags: int) -> int:
        self._enter_root(pid)
        own = _own(path)
        if own:
            return os.open(b"%d/%s" % (pid, own), os.O_PATH | flags, dir_fd=self._proc)
        if path.startswith(b"/"):
            return os.open(path, os.O_PATH | flags)
        base = self._open_own(pid, folder)
        try:
            return os.open(path, os.O_PATH | flags, dir_fd=base)
        finally:
            os.close(base)

    def _enter_root(self, pid: int) -> None:
        name = f"{pid}/root"
        state = os.stat(name, dir_fd=self._proc)
        if self._entered == (state.st_dev, state.st_ino):
            return
        root = os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=self._proc)
        try:
            state = os.fstat(root)
            os.fchdir(root)
            os.chroot(".")
            self._entered = state.st_dev, state.st_ino
        finally:
            os.close(root)

    def _reach(self, file: int) -> str:
        """A path to what an O_PATH descriptor stands for."""
        os.fchdir(self._proc)
        return f"self/fd/{file}"

    def mask_of(self, pid: int) -> int:
        with open(os.open(f"{pid}/status", os.O_RDONLY, dir_fd=self._proc), "rb") as file:
            for line in file:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
        return 0

    def _mark(self, file: int, uid: int, gid: int) -> None:
        path = self._reach(file)
        try:
            before = b""
            if _NONE in (uid, gid) or (uid, gid) == self._shown:
                before = _attribute(path)
            os.setxattr(path, OWNER, self._record(before, uid, gid))
        except PermissionError:
            if self._journal >= 0:
                self._note(file, uid, gid)  # a link or a pipe: those have no such attributes
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise  # on a file system in memory, for one: it is in no layer

    def _record(self, before: bytes, uid: int, gid: int) -> bytes:
        """`uid:gid`, a dash for what was never said; see wherry's layer/owners.py."""
        if (not before or before.endswith(b"~")) and (uid, gid) == self._shown:
            return b"%d:%d~" % (uid, gid)
        old_uid, _, old_gid = (before.rstrip(b"~") or b"-:-").partition(b":")
        return b":".join((old_uid if uid == _NONE else b"%d" % uid, old_gid if gid == _NONE else b"%d" % gid))

    def _note(self, file: int, uid: int, gid: int) -> None:
        """One line in the journal: inode and time of birth, which no other file has, and the owner."""
        if os.fstat(file).st_dev != self._device:
            return
        os.fchdir(self._proc)
        self._entered = None
        os.chroot(".")  # from where the name is the one from the container's root, whatever the caller's is
        path = os.readlink(self._reach(file).encode())
        try:
            inode, born = linux.identity(self._upper, path.lstrip(b"/"))
        except OSError:
            return  # removed meanwhile
        ids = ("-" if value == _NONE else str(value) for value in (uid, gid))
        os.write(self._journal, f"{inode} {born} {':'.join(ids)}\n".encode())


def _attribute(path: str) -> bytes:
    try:
        return os.getxattr(path, OWNER)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return b""
        raise


def _own(path: bytes) -> bytes:
    """What a path such as /proc/self/fd/1, whose "self" would be this process, is in the caller's folder."""
    for prefix, place in _OWN:
        if path.startswith(prefix):
            return place + path[len(prefix) :]
    return _STREAMS.get(path, b"")
