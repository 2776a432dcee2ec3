"""Puts files and folders into a root filesystem for the time of a process, where nothing can be mounted.

What stands at the place is set aside and comes back, and the folder that it is in keeps its time: in the end
nothing shows that anything was there. What the process did to the place itself counts for nothing, as under a
mount. All is done by renames on one file system; a path is looked up inside the root, whatever links it has.

A mount is a border that this is not: a process can move what was lent to another place, and link to it. What
was moved is found by its descriptor; further names of a lent file are deleted; and a file of a folder that
returns (a cache) is parted from names that it has outside, or a later process would write to both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from wherry.base.errors import WherryError
from wherry.base.paths import Root
from wherry.base.tuples import NamedTuple
from wherry.layer.clone import clone
from wherry.store.lent import Loan, write_down
from wherry.store.store import remove_tree

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Placed(NamedTuple):
    held: int
    """A descriptor of what was put there: it tells where that is now."""
    parent: int
    """A descriptor of the folder that it was put into, and the name there."""
    name: str
    home: str
    """Where it returns to; "" for what is deleted."""
    aside: str
    """Where what stood there is kept; "" for nothing."""


class Places:
    """What was put into the root filesystem `rootfs`. `scratch` is a folder on the same file system."""

    def __init__(self, rootfs: str, scratch: str) -> None:
        self._rootfs = rootfs
        self._scratch = scratch
        self._root = Root(rootfs, follow=True)
        self._placed: list[_Placed] = []
        self._loans: list[Loan] = []
        self._aside = f"{scratch}/aside"
        os.mkdir(self._aside, 0o700)

    def put(self, source: str, target: str, *, returns: bool = False) -> None:
        """Move `source` to `target`, an absolute path inside; with `returns` it goes back in the end."""
        try:
            parent, name = self._place_of(target)
            self._put(source, parent, name, source if returns else "")
        except OSError as error:
            raise WherryError(f"cannot put anything at {target}: {error.strerror}") from None

    def put_copy(self, source: str, target: str, root: str = "") -> None:
        """As `put`, of a copy of the file `source`; with `root`, that is a path inside that folder."""
        copy = f"{self._scratch}/copy-{len(self._placed)}"
        try:
            with Root(root or "/", follow=True) as outer:
                reading = outer.open(source, os.O_RDONLY)
            try:
                if not stat.S_ISREG(os.fstat(reading).st_mode):
                    raise WherryError(f"{source} is no file: in chroot mode only files can be shown in a RUN")
                writing = os.open(copy, _CREATE, 0o644)
                try:
                    clone(reading, writing)
                    os.fchmod(writing, stat.S_IMODE(os.fstat(reading).st_mode))
                finally:
                    os.close(writing)
            finally:
                os.close(reading)
        except OSError as error:
            raise WherryError(f"cannot read {source}: {error.strerror}") from None
        self.put(copy, target)

    def take_out(self) -> None:
        """Undo it all, the last first. No process may be in the root filesystem any more."""
        try:
            while self._placed:
                self._take_out(self._placed.pop())
        except OSError as error:
            raise WherryError(f"cannot tidy up {self._rootfs}: {error.strerror}") from None
        finally:
            self._root.close()

    def _place_of(self, target: str) -> tuple[int, str]:
        """The folder that `target` is in, links followed, and its name there; missing folders are made."""
        try:
            found = self._root.open(target, os.O_PATH)
        except FileNotFoundError:
            folder = os.path.dirname(target)
            self._root.makedirs(folder)
            return self._root.open(folder, os.O_RDONLY | os.O_DIRECTORY), os.path.basename(target)
        try:
            path = os.path.relpath(_whereabouts(found), _whereabouts(self._root.fd))
        finally:
            os.close(found)
        folder, _, name = path.rpartition("/")
        return self._root.open(folder, os.O_RDONLY | os.O_DIRECTORY), name

    def _put(self, source: str, parent: int, name: str, home: str) -> None:
        times = os.fstat(parent)
        held = os.open(source, _PATH)
        aside = f"{self._aside}/{len(self._placed)}"
        try:
            os.rename(name, aside, src_dir_fd=parent)
        except FileNotFoundError:
            aside = ""
        if home:
            place = f"{_whereabouts(parent)}/{name}"
            self._loans.append(Loan(home, place, os.fstat(held).st_ino))
            write_down(self._scratch, self._loans)
        self._placed.append(_Placed(held, parent, name, home, aside))
        os.rename(source, name, dst_dir_fd=parent)
        _set_time(parent, times)

    def _take_out(self, placed: _Placed) -> None:
        try:
            times = os.fstat(placed.parent)
            self._remove(placed)
            if times.st_nlink:
                _clear(placed.parent, placed.name)
                if placed.aside:
                    os.rename(placed.aside, placed.name, dst_dir_fd=placed.parent)
                _set_time(placed.parent, times)
        finally:
            os.close(placed.held)
            os.close(placed.parent)

    def _remove(self, placed: _Placed) -> None:
        """Back home or away with it, wherever it is now."""
        status = os.fstat(placed.held)
        here = _whereabouts(placed.held)
        is_there = os.path.lexists(here) and os.lstat(here).st_ino == status.st_ino
        if not stat.S_ISDIR(status.st_mode):
            if is_there:
                os.unlink(here)
            if os.fstat(placed.held).st_nlink:
                _delete_names(self._rootfs, status.st_ino)
        elif not placed.home:
            if is_there:
                remove_tree(here)
        elif is_there:
            _part_from_outside(here)
            os.rename(here, placed.home)
        # else the process has deleted it with all that was in it; whoever wants it next makes it anew


def _whereabouts(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _set_time(folder: int, times: os.stat_result) -> None:
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


def _clear(folder: int, name: str) -> None:
    """Whatever the process has put in the place."""
    import shutil

    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=folder)


def _delete_names(rootfs: str, inode: int) -> None:
    """Names that a process has given to a file that was lent to it: a secret stays nowhere."""
    for folder, name, status in list(_files(rootfs)):
        if status.st_ino == inode:
            os.unlink(f"{folder}/{name}")


def _part_from_outside(path: str) -> None:
    """Give the files below `path` that have names elsewhere too an inode of their own."""
    shared: dict[int, list[tuple[str, os.stat_result]]] = {}
    for folder, name, status in _files(path):
        if status.st_nlink > 1:
            shared.setdefault(status.st_ino, []).append((f"{folder}/{name}", status))
    for names in shared.values():
        first, status = names[0]
        if len(names) == status.st_nlink:
            continue
        copy = f"{path}.parting"
        _copy(first, copy, status)
        for name, _ in names[1:]:
            os.unlink(name)
            os.link(copy, name, follow_symlinks=False)
        os.rename(copy, first)


def _copy(source: str, target: str, status: os.stat_result) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writing = os.open(target, _CREATE, 0o600)
        try:
            clone(reading, writing)
            os.fchown(writing, status.st_uid, status.st_gid)
            os.fchmod(writing, stat.S_IMODE(status.st_mode))
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _files(path: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Regular files below `path`, which nobody changes meanwhile: folder, name, status."""
    for folder, _, names in os.walk(path):
        for name in names:
            status = os.lstat(f"{folder}/{name}")
            if stat.S_ISREG(status.st_mode):
                yield folder, name, status
