"""What a folder takes on disk."""

from __future__ import annotations

import os
import stat


def disk_usage(path: str) -> int:
    """Bytes that a file, or a folder with all below it, takes on disk; each hard link's file counts once.

    What lies deeper than a path can say does not count: a step may have left folders of any depth.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [path]
    while pending:
        current = pending.pop()
        try:
            status = os.lstat(current)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        total += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            pending.extend(f"{current}/{name}" for name in _names(current))
    return total


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
