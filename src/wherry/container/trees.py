"""Folders whose files belong to a container's users: deleted, and copied into a new volume."""

from __future__ import annotations

import os
import stat

from wherry.base.errors import WherryError
from wherry.runtime import idmap
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
            idmap.enter()
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
    """Copy all below the folder `source` into the folder `target` (descriptors), with owners, modes, times
    and extended attributes; links stay links, devices and sockets are left out. `target` itself gets the
    owner and the mode of `source`, so that a user of the image may write to the volume.
    """
    for name in os.listdir(source):
        _copy_one(source, target, name)
    _copy_metadata(source, target)


def _copy_one(source: int, target: int, name: str) -> None:
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISDIR(status.st_mode):
        os.mkdir(name, 0o700, dir_fd=target)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner_source, inner_target = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
        try:
            copy_into(inner_source, inner_target)
        finally:
            os.close(inner_source)
            os.close(inner_target)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source, target, name)


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
