"""Room that only `prune` may use.

On a disk without a free block SQLite cannot make the files that it keeps beside the tables, so that what
would free the disk could not even be looked up. A file of this size is given up first.
"""

from __future__ import annotations

import os

SIZE = 2 << 20
"""Bytes: the journal of deleting some thousand rows at once."""


def give_up(root: str) -> None:
    """Free the room of the store in `root`."""
    try:
        os.unlink(_path(root))
    except OSError:
        pass  # a store of an older version, or none at all


def keep(root: str) -> None:
    """Have it again, where the disk has that much to spare."""
    try:
        file = os.open(_path(root), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(file, 0, SIZE)
    except OSError:
        os.unlink(_path(root))
    finally:
        os.close(file)


def _path(root: str) -> str:
    return f"{root}/reserve"
