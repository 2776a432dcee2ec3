"""Mount points that had to be made in a root filesystem, and how they are unmade.

A mount needs a place. Where the image has none the runtime makes it, and reports it here; a RUN's layer must
not show it, nor that its parent folder was changed for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from wherry.base.tuples import NamedTuple
from wherry.runtime.init import linux


class Created(NamedTuple):
    """A mount point made in the root filesystem, with its parent's mtime (ns) before and after."""

    path: str
    folder: bool
    before: int
    after: int


def remove_created(rootfs: str, created: Sequence[Created]) -> None:
    """Remove mount points after the container has ended, where they are still as they were made.

    What has been given content stays. The parent's mtime is put back, unless something else has changed it.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for item in reversed(created):
            _remove(root, item)
    finally:
        os.close(root)


def _remove(root: int, item: Created) -> None:
    folder, _, name = item.path.strip("/").rpartition("/")
    try:
        parent = linux.open_in_root(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # the command has removed or replaced it
    try:
        before = os.fstat(parent)
        if item.folder:
            os.rmdir(name, dir_fd=parent)
        else:
            state = os.lstat(name, dir_fd=parent)
            if not stat.S_ISREG(state.st_mode) or state.st_size:
                return
            os.unlink(name, dir_fd=parent)
        if before.st_mtime_ns == item.after:
            os.utime(parent, ns=(before.st_atime_ns, item.before))
    except OSError:
        return  # not empty, or not there any more: the command's doing, and so part of its result
    finally:
        os.close(parent)
