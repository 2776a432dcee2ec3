"""A folder with all below it, copied: into a new volume, and a root filesystem beside another."""

from __future__ import annotations

import os
import stat

from wherry.layer.folders import Folders

_CHUNK = 1 << 20


def copy_into(source: int, target: int) -> None:
    """Copy all below the folder `source` into the empty folder `target` (descriptors), with owners, modes,
    times and extended attributes; links of both kinds stay links, devices and sockets are left out. `target`
    itself gets the owner and the mode of `source`, so that a user of the image may write to the volume.

    A container that uses the volume already may put links in the place of what was copied just now: nothing
    is followed, and the copy fails. It may not be as deep as it likes in Python's recursion either.
    """
    with Folders(f"/proc/self/fd/{source}") as here, Folders(f"/proc/self/fd/{target}") as there:
        _Copy(here, there).run()


class _Copy:
    """One copy under way: busybox has a hundred names for one file, and a copy of each would be a flood."""

    def __init__(self, source: Folders, target: Folders) -> None:
        self._source = source
        self._target = target
        self._linked: dict[tuple[int, int], str] = {}
        """Files with several names, by device and inode: the path of the first copy."""

    def run(self) -> None:
        """Folders' own owners, modes and times come last: all that is made in them changes those."""
        folders = [""]
        for path in folders:
            for name in os.listdir(self._source.open(path)):
                inner = f"{path}/{name}" if path else name
                if self._one(inner):
                    folders.append(inner)
        for path in reversed(folders):
            _copy_metadata(self._source.open(path), self._target.open(path))

    def _one(self, path: str) -> bool:
        """Copies what is at `path`; True where it is a folder, which is only made."""
        source, name = self._source.parent(path)
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._target.open(path)
            return True
        target, name = self._target.parent(path)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            self._file(source, target, name, path, status)
        return False

    def _file(self, source: int, target: int, name: str, path: str, status: os.stat_result) -> None:
        inode = status.st_dev, status.st_ino
        if first := self._linked.get(inode):
            self._link(first, path)
            return
        _copy_file(source, target, name)
        if status.st_nlink > 1:
            self._linked[inode] = path

    def _link(self, first: str, path: str) -> None:
        folder, first_name = self._target.parent(first)
        folder = os.dup(folder)  # the next call may close it
        try:
            target, name = self._target.parent(path)
            os.link(first_name, name, src_dir_fd=folder, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(folder)


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
