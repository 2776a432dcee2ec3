"""Folders whose files belong to a container's users: deleted, and copied into a new volume."""

from __future__ import annotations

import os
import stat

from wherry.base.errors import WherryError
from wherry.runtime import modes
from wherry.store.store import remove_tree

_CHUNK = 1 << 20


def remove(path: str) -> None:
    """Delete a folder with all below it; one that is not there is no error.

    Without root, files of the container's other users can only be deleted from within the user name space
    that they belong to: a child enters it.
    """
    problem = _try_to_remove(path)
    if problem and os.geteuid() != 0:
        problem = _remove_as_owner(path)
    if problem:
        raise WherryError(f"cannot delete {path}: {problem}")


def _try_to_remove(path: str) -> str:
    """What stood in the way; empty where all is gone."""
    try:
        remove_tree(path)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"
    return "something in it is still in use" if os.path.lexists(path) else ""


def _remove_as_owner(path: str) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            modes.enter()
            os.write(writer, _try_to_remove(path).encode("utf-8", "replace"))
        except WherryError as error:
            os.write(writer, error.message.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    return problem


def copy_into(source: int, target: int) -> None:
    """Copy all below the folder `source` into the empty folder `target` (descriptors), with owners, modes,
    times and extended attributes; links of both kinds stay links, devices and sockets are left out. `target`
    itself gets the owner and the mode of `source`, so that a user of the image may write to the volume.
    """
    _Copy(target).folder(source, target, "")


class _Copy:
    """One copy under way: busybox has a hundred names for one file, and a copy of each would be a flood."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._linked: dict[tuple[int, int], str] = {}
        """Files with several names, by device and inode: the path below `top` of the first copy."""

    def folder(self, source: int, target: int, path: str) -> None:
        for name in os.listdir(source):
            self._one(source, target, name, f"{path}{name}")
        _copy_metadata(source, target)

    def _one(self, source: int, target: int, name: str, path: str) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner_source = os.open(name, flags, dir_fd=source)
            inner_target = os.open(name, flags, dir_fd=target)
            try:
                self.folder(inner_source, inner_target, f"{path}/")
            finally:
                os.close(inner_source)
                os.close(inner_target)
        elif stat.S_ISREG(status.st_mode):
            self._file(source, target, name, path, status)

    def _file(self, source: int, target: int, name: str, path: str, status: os.stat_result) -> None:
        inode = status.st_dev, status.st_ino
        if first := self._linked.get(inode):
            os.link(first, name, src_dir_fd=self._top, dst_dir_fd=target, follow_symlinks=False)
            return
        _copy_file(source, target, name)
        if status.st_nlink > 1:
            self._linked[inode] = path


def _copy_file(source: int, target: int, name: str) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writer = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(writer, reader, None, _CHUNK):
                pass
            _copy_metadata(reader, writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_metadata(source: int, target: int) -> None:
    """Owner before mode (chown clears set-user-ID), times last."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.", "security.selinux")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
