"""Files of an earlier layer's tree, linked into the tree of a layer that differs from it in little.

Only a file that both layers have under the same path, the same in all, is one file then. Of two trees that
are stacked only the upper one's is to be seen, so no process ever sees one file under two paths; its link
count says that it has other names. Trees are never written to once they are made, so neither is the file.

A new link changes the file's ctime, by which programs like tar tell that a file changed while they read it.
So nothing is linked from a tree that is mounted: `held` says that to others, and `Near` asks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError
from wherry.base.locks import locked
from wherry.layer.entry import FILE, HARDLINK, Entry, is_same
from wherry.layer.folders import Folders
from wherry.layer.forms import OverlayForm
from wherry.layer.streams import unwritable
from wherry.layer.writer import Layer
from wherry.oci import digest as digests
from wherry.oci.digest import Digest

_WORTH_IT = 2
"""One of so many entries must be the same."""
_NEVER = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EROFS, errno.EOPNOTSUPP}
"""Where one link fails so, others do too."""


NAME = "near"
"""In a layer's folder: the diff ID of the layer that it was made from."""
_FAR = 16
"""So many layers back, each made from the next, is looked for a tree."""


def keep_name(path: str, near: Digest) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(near)
    except OSError as error:
        raise unwritable(error) from None


def nearest(diff_id: Digest, folder: Callable[[Digest], str]) -> list[Digest]:
    """Layers that have most of the layer's entries, the nearest first; they may be gone from the store.

    `folder` tells where a layer lies.
    """
    found: list[Digest] = []
    while len(found) < _FAR:
        try:
            with open(f"{folder(diff_id)}/{NAME}", encoding="ascii") as file:
                diff_id = digests.parse(file.read())
        except (OSError, ValueError, WherryError):
            break  # there is none, or a loss of power spoiled its name
        if diff_id in found:
            break
        found.append(diff_id)
    return found


@contextmanager
def held(tree: str) -> Iterator[None]:
    """Nothing is linked from the tree meanwhile; waits for what is being linked."""
    with locked(tree, shared=True):
        yield


class Near:
    """The tree of the layer `near`, to link files of `layer` from; to be closed."""

    def __init__(self, layer: Layer, near: Layer, tree: str, form: OverlayForm) -> None:
        self._form = form
        self._can_link = True
        self._same = _same(layer, near)
        self.is_worth_it = _WORTH_IT * len(self._same) >= len(layer.entries)
        self._folders = Folders(tree, make=False)
        try:
            fcntl.flock(self._folders.open(""), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._can_link = self.is_worth_it = False  # somebody has it mounted

    def link(self, entry: Entry, folder: int, name: str) -> bool:
        """Makes `name` in the open `folder` the file `entry`, if both layers have that and it is whole."""
        if not self._can_link or entry.path not in self._same:
            return False
        try:
            source_folder, source = self._folders.parent(entry.path)
            if not self._is_whole(os.stat(source, dir_fd=source_folder, follow_symlinks=False), entry):
                return False
            os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            self._can_link = error.errno not in _NEVER
            return False  # it may have as many names as the file system allows, for one
        return True

    def close(self) -> None:
        self._folders.close()

    def _is_whole(self, status: os.stat_result, entry: Entry) -> bool:
        """Trees are not synced: after a loss of power files may be short, or not what they should be."""
        owner = (entry.uid, entry.gid) if self._form.has_owners else (status.st_uid, status.st_gid)
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_size == entry.size
            and stat.S_IMODE(status.st_mode) == entry.mode
            and status.st_mtime_ns == entry.mtime
            and (status.st_uid, status.st_gid) == owner
        )


def _same(layer: Layer, near: Layer) -> set[str]:
    """The files that both have, the same in all."""
    several = {entry.link for entry in (*layer.entries, *near.entries) if entry.kind == HARDLINK}
    others = {entry.path: entry for entry in near.entries if entry.kind == FILE}
    return {
        entry.path
        for entry in layer.entries
        if entry.kind == FILE
        and entry.digest
        and (other := others.get(entry.path)) is not None
        and is_same(entry, other)
        and entry.path not in several
    }
