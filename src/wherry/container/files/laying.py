"""Entries with their contents, laid down beneath an open folder: a copy's target.

Others may change the folder meanwhile, a container's processes among them. No link in it is followed, what is
new is made under a name that nobody can guess, given its owner, mode and time by a descriptor, and renamed to
its place: whoever looks there sees what was there before or all of the new.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from wherry.base.errors import Denied, WherryError
from wherry.layer import sparse
from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.folders import Folders
from wherry.layer.making import CREATE, finish_file, set_xattrs
from wherry.layer.pipe import BLOCK as PIECE
from wherry.layer.writer import Readable

Face = Callable[[Entry], Entry]
"""What an entry looks like at its new place: owner, mode, attributes."""

_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Laying:
    """`label` stands before a path in errors. `has_owners` as in `layer/owners.py`."""

    def __init__(self, folder: int, label: str, face: Face, *, has_owners: bool = True) -> None:
        self._folders = Folders(f"/proc/self/fd/{folder}")
        self._label = label
        self._face = face
        self._has_owners = has_owners
        self._made: list[Entry] = []
        """Folders, parents first."""
        self._laid: set[str] = set()
        """Files, to which others of the copy may be links."""
        self.size = 0
        """Bytes of content so far."""
        self.left_out = 0
        """Devices: a copy of one would be a way to the device for whoever has the copy."""

    def add(self, entry: Entry, content: Readable | None) -> None:
        """Folders come before what is in them; `entry` is "" for the folder itself, which is there."""
        if entry.kind in (CHARACTER, BLOCK):
            self.left_out += 1
        elif entry.path:
            with self._told(entry.path):
                if entry.kind == DIRECTORY:
                    self._make_folder(self._face(entry))
                else:
                    self._put(entry, content)

    def finish(self) -> None:
        """Folders' own owners, modes and times come last: all that is made in them changes those. One that
        was there keeps its own."""
        for entry in reversed(self._made):
            with self._told(entry.path):
                finish_file(self._folders.open(entry.path), entry, has_owners=self._has_owners)

    def close(self) -> None:
        self._folders.close()

    def __enter__(self) -> Laying:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_folder(self, entry: Entry) -> None:
        folder, name = self._folders.parent(entry.path)
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise WherryError(
                    f"cannot copy a folder to {self._label}{entry.path}: what is there is none"
                ) from None
            return
        self._made.append(entry)

    def _put(self, entry: Entry, content: Readable | None) -> None:
        folder, name = self._folders.parent(entry.path)
        is_mounted = self._is_mounted(folder, name, entry)
        folder = os.dup(folder)  # to make a link another one is opened
        unfinished = f".wherry-{os.urandom(8).hex()}.new"
        try:
            self._make(folder, unfinished, entry, content)
            if is_mounted:
                _overwrite(folder, unfinished, name)
            else:
                os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished, dir_fd=folder)
            os.close(folder)
        if entry.kind == FILE:
            self._laid.add(entry.path)

    def _is_mounted(self, folder: int, name: str, entry: Entry) -> bool:
        """Whether what is to be replaced is a mount, as a container's /etc/hosts. WherryError for what stays.

        In another mount namespace than the container's, the kernel would let go of the mount for a rename.
        """
        try:
            held = os.open(name, _HELD, dir_fd=folder)
        except FileNotFoundError:
            return False
        try:
            mode = os.fstat(held).st_mode
            is_mounted = _mount_of(held) != _mount_of(folder)
        finally:
            os.close(held)
        if stat.S_ISDIR(mode):
            raise WherryError(f"cannot copy a file to {self._label}{entry.path}: a folder is there")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise WherryError(f"cannot copy a file to {self._label}{entry.path}: a device is there")
        if is_mounted and entry.kind not in (FILE, HARDLINK):
            raise WherryError(f"cannot replace {self._label}{entry.path}: something is mounted there")
        return is_mounted

    def _make(self, folder: int, name: str, entry: Entry, content: Readable | None) -> None:
        if entry.kind == HARDLINK:
            self._link(folder, name, entry)
        elif entry.kind == FILE:
            assert content is not None
            self._write(folder, name, self._face(entry), content)
        else:
            if entry.kind == SYMLINK:
                os.symlink(entry.link, name, dir_fd=folder)
            else:
                os.mkfifo(name, 0o600, dir_fd=folder)
            held = os.open(name, _HELD, dir_fd=folder)
            try:
                self._finish(held, self._face(entry))
            finally:
                os.close(held)

    def _link(self, folder: int, name: str, entry: Entry) -> None:
        if entry.link not in self._laid:
            raise WherryError(
                f"cannot make {self._label}{entry.path}: it is a link to {entry.link!r}, which was not copied"
            )
        first, first_name = self._folders.parent(entry.link)
        os.link(first_name, name, src_dir_fd=first, dst_dir_fd=folder, follow_symlinks=False)

    def _write(self, folder: int, name: str, entry: Entry, content: Readable) -> None:
        target = os.open(name, CREATE, 0o600, dir_fd=folder)
        try:
            size = 0
            while data := content.read(PIECE):
                sparse.write(target, data, size)
                size += len(data)
            os.ftruncate(target, size)
            self.size += size
            finish_file(target, entry, has_owners=self._has_owners)
        finally:
            os.close(target)

    def _finish(self, held: int, entry: Entry) -> None:
        """As `finish_file`, of a link or a pipe: by the descriptor's name, which leads to that itself."""
        place = f"/proc/self/fd/{held}"
        if self._has_owners:
            os.chown(place, entry.uid, entry.gid)
        set_xattrs(place, entry, follow=True)
        if entry.kind == FIFO and stat.S_ISFIFO(os.fstat(held).st_mode):
            os.chmod(place, entry.mode)
        os.utime(place, ns=(entry.mtime, entry.mtime))

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _refuse(error, f"{self._label}{path}")


def _mount_of(descriptor: int) -> bytes:
    """The number of the mount that a file was opened in (proc(5))."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        return next(line for line in file if line.startswith(b"mnt_id:"))


def _overwrite(folder: int, source: str, name: str) -> None:
    """The content of a file that cannot be replaced; all else of it stays."""
    held = os.open(name, _HELD, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_TRUNC | os.O_CLOEXEC
        target = os.open(f"/proc/self/fd/{held}", flags)
    finally:
        os.close(held)
    try:
        reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            while os.sendfile(target, reader, None, PIECE):
                pass
        finally:
            os.close(reader)
    finally:
        os.close(target)


def _refuse(error: OSError, place: str) -> NoReturn:
    if error.errno == errno.EROFS:
        raise WherryError(f"cannot write {place}: it is read-only") from None
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        raise WherryError(f"cannot write {place}: what it is to lie in is no folder") from None
    if error.errno == errno.EINVAL:
        raise Denied(
            f"cannot write {place}: {error.strerror}",
            hint="its owner may be one that there is not here: see `wherry info`",
        ) from None
    raise WherryError(f"cannot write {place}: {error.strerror}") from None
