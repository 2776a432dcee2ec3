"""Files beneath a folder that somebody else filled: no path leads out of it, whatever links it has.

A `Root` holds a descriptor of the folder and resolves each path from there, by openat2(2) (Linux 5.6) or,
where that is missing or forbidden, component by component. A path is never joined to the root's name, so a
link that is swapped while we look cannot move the target. Errors are the OSErrors of the system calls.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from wherry.base import removal

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_TRIES = 10_000
_MAX_LINKS = 40
"""Symlinks in one path: the kernel's own limit."""

Opener = Callable[[int, str, int, int, bool], int]
"""(root's descriptor, relative path, flags, mode, follow) -> descriptor."""


class Root:
    """Access to what is beneath the folder `path`. `""`, `"."` and `"/"` are the folder itself.

    With `follow` False (extraction) a symlink anywhere in a path, the last name too, is ELOOP, and `..` that
    leaves is EXDEV. With `follow` True symlinks are followed as if the process had chroot()ed there: absolute
    ones start at the root, and `..` stays in it (docker's rule for COPY targets). Calls that make, remove or
    look at a name never follow the last component.
    """

    def __init__(self, path: str, *, follow: bool = False, opener: Opener | None = None) -> None:
        self.fd = os.open(path, _FOLDER)
        self._follow = follow
        self._opener = opener or fastest()

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """As os.open, close-on-exec; O_NOFOLLOW keeps the last component from being followed."""
        return self._opener(self.fd, _relative(path), flags | os.O_CLOEXEC, mode, self._follow)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """(descriptor of the folder that `path` is in, its last name): what *at() calls take."""
        folder, _, name = _relative(path).rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        descriptor = self.open(folder, _FOLDER)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """`mode` is what the folder gets: the process's umask is not asked."""
        with self.parent(path) as (folder, name):
            os.mkdir(name, mode, dir_fd=folder)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.fchmod(made, mode)
            finally:
                os.close(made)

    def makedirs(self, path: str, mode: int = 0o755) -> list[str]:
        """Makes the folder `path` and those missing above it; the paths that were made, topmost first."""
        made = []
        so_far = ""
        for part in _relative(path).split("/"):
            so_far = f"{so_far}/{part}" if so_far else part
            try:
                os.close(self.open(so_far, _FOLDER))
            except FileNotFoundError:
                self.mkdir(so_far, mode)
                made.append(so_far)
        return made

    def symlink(self, target: str, path: str) -> None:
        with self.parent(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def link(self, source: str, path: str) -> None:
        """Makes `path` a hard link to `source`, itself no matter whether it is a symlink."""
        with self.parent(source) as (source_folder, source_name), self.parent(path) as (folder, name):
            os.link(source_name, name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        with self.parent(path) as (folder, name):
            os.mknod(name, mode, device, dir_fd=folder)

    def rename(self, source: str, target: str) -> None:
        with self.parent(source) as (source_folder, source_name), self.parent(target) as (folder, name):
            os.rename(source_name, name, src_dir_fd=source_folder, dst_dir_fd=folder)

    def unlink(self, path: str) -> None:
        with self.parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: str) -> None:
        with self.parent(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def rmtree(self, path: str) -> None:
        """Removes `path`, with all below it where it is a folder; no link is followed."""
        with self.parent(path) as (folder, name):
            removal.remove(name, folder)

    def lstat(self, path: str) -> os.stat_result:
        """Of a symlink itself."""
        return self._stat(path, os.O_PATH | os.O_NOFOLLOW)

    def stat(self, path: str) -> os.stat_result:
        """Of what `path` leads to within the root; ELOOP where this root follows no links and it is one."""
        return self._stat(path, os.O_PATH)

    def exists(self, path: str) -> bool:
        """A dangling symlink exists too."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def readlink(self, path: str) -> str:
        with self.parent(path) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    def listdir(self, path: str = "") -> list[str]:
        descriptor = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Of a symlink itself."""
        with self._held(path) as held:
            os.chown(held, uid, gid, follow_symlinks=self._of_folder(held))

    def chmod(self, path: str, mode: int) -> None:
        """Nothing happens to a symlink: it has no mode of its own."""
        descriptor = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                os.chmod(f"/proc/self/fd/{descriptor}", mode)
        finally:
            os.close(descriptor)

    def utime(self, path: str, nanoseconds: int) -> None:
        """Sets access and modification time; of a symlink itself."""
        with self._held(path) as held:
            os.utime(held, ns=(nanoseconds, nanoseconds), follow_symlinks=self._of_folder(held))

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        with self._held(path) as held:
            os.setxattr(held, name, value, follow_symlinks=self._of_folder(held))

    def getxattr(self, path: str, name: str) -> bytes:
        with self._held(path) as held:
            return os.getxattr(held, name, follow_symlinks=self._of_folder(held))

    def listxattr(self, path: str) -> list[str]:
        with self._held(path) as held:
            return os.listxattr(held, follow_symlinks=self._of_folder(held))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stat(self, path: str, flags: int) -> os.stat_result:
        descriptor = self.open(path, flags)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _held(self, path: str) -> Iterator[str]:
        """A name for `path` by way of a descriptor, for calls that have no *at() form in Python.

        The descriptor is of the folder above, so that the name can be of a symlink; of the root itself where
        `path` is the root.
        """
        if _relative(path) == ".":
            yield f"/proc/self/fd/{self.fd}"
            return
        with self.parent(path) as (folder, name):
            yield f"/proc/self/fd/{folder}/{name}"

    def _of_folder(self, held: str) -> bool:
        """True for the root itself: its name in /proc is a link, which is to be followed."""
        return held == f"/proc/self/fd/{self.fd}"


def _relative(path: str) -> str:
    return path.lstrip("/") or "."


@cache
def fastest() -> Opener:
    """openat2 where this kernel has it and lets us, else `by_component`."""
    by_kernel = _openat2()
    try:
        os.close(by_kernel(-100, ".", _FOLDER, 0, True))
    except OSError:
        return by_component
    return by_kernel


def _openat2() -> Opener:
    """The system call by ctypes. Its number is 437 on every architecture; `how` is three 64-bit numbers."""
    import ctypes

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    how_type = ctypes.c_uint64 * 3
    no_magic, no_links, beneath, in_root = 0x02, 0x04, 0x08, 0x10
    strict, inside = beneath | no_links | no_magic, in_root | no_magic

    def openat2(root: int, path: str, flags: int, mode: int, follow: bool) -> int:
        makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
        how = how_type(flags, mode if makes else 0, inside if follow else strict)
        name = os.fsencode(path)
        for _ in range(_MOST_TRIES):
            descriptor: int = syscall(
                437, root, ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(24)
            )
            if descriptor >= 0:
                return descriptor
            # EAGAIN: somebody on this machine renamed or mounted meanwhile, so `..` might have left the root
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
                break
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)

    return openat2


def by_component(root: int, path: str, flags: int, mode: int, follow: bool) -> int:
    """openat2 by hand: every folder on the way is opened from the one before, and no link by the kernel."""
    waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    must_be_folder = os.O_DIRECTORY if path.endswith(("/", "/.")) else 0
    folders: list[int] = []
    """What was opened on the way down: `..` goes back to the one before, never to what the kernel says."""
    links = 0
    try:
        while waiting:
            part = waiting.pop()
            here = folders[-1] if folders else root
            if part == "..":
                if folders:
                    os.close(folders.pop())
                elif not follow:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
                continue
            last = not waiting
            target = _target(here, part) if follow and not (last and flags & os.O_NOFOLLOW) else None
            if target is not None:
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target.startswith("/"):
                    _close_all(folders)
                waiting += [part for part in reversed(target.split("/")) if part not in ("", ".")]
            elif last:
                return _open_last(here, part, flags | must_be_folder, mode, path)
            else:
                folders.append(_open_folder(here, part, path))
        return os.open(".", flags, mode, dir_fd=folders[-1] if folders else root)
    finally:
        _close_all(folders)


def _open_last(folder: int, name: str, flags: int, mode: int, path: str) -> int:
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except NotADirectoryError:
        if flags & os.O_NOFOLLOW or _target(folder, name) is None:
            raise
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    if flags & os.O_PATH and not flags & os.O_NOFOLLOW and stat.S_ISLNK(os.fstat(descriptor).st_mode):
        # O_PATH | O_NOFOLLOW opens a symlink itself, where all else says ELOOP
        os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return descriptor


def _open_folder(folder: int, name: str, path: str) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        if _target(folder, name) is not None:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        raise


def _target(folder: int, name: str) -> str | None:
    """What the symlink `name` says; None where it is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
