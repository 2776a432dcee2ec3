"""What lies beneath an open folder, as entries with their contents: a copy's source.

Whoever fills the folder may be hostile, and change it meanwhile. Every name is opened from the folder that it
is in, no link is followed, and nothing is opened for reading that is not seen to be a file or a folder: a
device may act when it is opened, a pipe waits. What vanishes on the way is left out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, cast

from wherry.base.errors import WherryError
from wherry.layer import owners
from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.folders import Folders
from wherry.layer.reading import Exactly
from wherry.layer.status import entry_of, kind_of
from wherry.snapshot import attributes

Taken = tuple[Entry, BinaryIO | None]
"""An entry, and the content of a regular file, to be read before the next one is asked for."""

_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Taking:
    """`has_owners` as in `layer/owners.py`: whether files belong to whom they are said to. `target` is the
    folder (descriptor) that the copy comes to: it cannot be copied into itself.

    Errors are OSErrors whose `filename` is the path below the folder.
    """

    def __init__(self, *, has_owners: bool = True, target: int = -1) -> None:
        self._has_owners = has_owners
        self._target = _identity(os.fstat(target)) if target >= 0 else None
        self._names: dict[tuple[int, int], str] = {}
        """Files with several names, by device and inode: the path of the first."""
        self.left_out = 0
        """Sockets: who listens at one is not copied."""

    def one(self, folder: int, name: str, path: str) -> Iterator[Taken]:
        """What is called `name` in `folder` and is none itself, as `path`."""
        held = os.open(name, _HELD, dir_fd=folder)
        try:
            yield from self._taken(held, path)
        finally:
            os.close(held)

    def all(self, folder: int, path: str) -> Iterator[Taken]:
        """The folder itself as `path`, which may be "", and all below it; parents come first."""
        with Folders(f"/proc/self/fd/{folder}", make=False) as folders:
            pending = [""]
            while pending:
                inner = pending.pop()
                outer = f"{path}/{inner}".strip("/")
                try:
                    opened = folders.open(inner)
                    if _identity(os.fstat(opened)) == self._target:
                        raise WherryError("cannot copy a folder into itself, or into one that is in it")
                    names = sorted(os.listdir(opened))
                    yield self._entry(opened, outer), None
                except OSError as error:
                    _pass_over(error, outer)
                    continue
                deeper = []
                for name in names:
                    try:
                        held = os.open(name, _HELD, dir_fd=folders.open(inner))
                    except OSError as error:
                        _pass_over(error, outer)
                        continue
                    try:
                        if stat.S_ISDIR(os.fstat(held).st_mode):
                            deeper.append(f"{inner}/{name}" if inner else name)
                        else:
                            yield from self._taken(held, f"{outer}/{name}" if outer else name)
                    finally:
                        os.close(held)
                pending += reversed(deeper)

    def _taken(self, held: int, path: str) -> Iterator[Taken]:
        status = os.fstat(held)
        if kind_of(status) is None:
            self.left_out += 1
            return
        entry = self._entry(held, path)
        if entry.kind != FILE:
            yield entry, None
            return
        inode = _identity(status)
        first = self._names.get(inode) if status.st_nlink > 1 else None
        if first is not None:
            yield entry._replace(kind=HARDLINK, link=first, size=0), None
            return
        try:
            # O_NONBLOCK: one that a process has a lease of would keep us waiting (fcntl(2)).
            reader = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            error.filename = path
            raise
        with open(reader, "rb", buffering=0) as file:
            yield entry, cast(BinaryIO, Exactly(file, entry.size))
        if status.st_nlink > 1:
            self._names[inode] = path

    def _entry(self, held: int, path: str) -> Entry:
        status = os.fstat(held)
        kind = kind_of(status)
        if kind in (CHARACTER, BLOCK):
            return entry_of(path, status)
        link = os.readlink("", dir_fd=held) if kind == SYMLINK else ""
        place = f"/proc/self/fd/{held}"
        found = {name: os.getxattr(place, name) for name in attributes.names(place, follow=True)}
        kept = tuple((name, found[name]) for name in sorted(found) if attributes.is_kept(name))
        entry = entry_of(path, status, link, kept)
        return entry if self._has_owners or kind not in (FILE, DIRECTORY) else _said(entry, found)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _said(entry: Entry, found: dict[str, bytes]) -> Entry:
    """What the attributes of `layer/owners.py` say of a file that belongs to the one user there is."""
    asked = owners.asked(found.get(owners.OWNER, b""))
    if asked is not None:
        entry = entry._replace(uid=asked.uid or 0, gid=asked.gid or 0)
    device = owners.device(found.get(owners.DEVICE, b""))
    return entry._replace(kind=device[0], device=device[1], size=0) if device else entry


def _pass_over(error: OSError, path: str) -> None:
    """What is gone is no error."""
    if error.errno not in _VANISHED:
        error.filename = path
        raise error
