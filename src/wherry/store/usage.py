"""What files and folders take on disk: in blocks, as `du` counts them, however deep they lie."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Set

_BLOCK = 512
"""Bytes: the unit of `st_blocks`, whatever the file system's own blocks are (stat(2))."""


_LONGEST = 3000
"""Characters of a path: with any name behind it it is still one."""


class Ledger:
    """Counts the parts of a store one after the other. What was counted once, as a file with several names
    or as a part of something larger, is not counted again."""

    def __init__(self) -> None:
        self._parts: set[str] = set()
        self._linked: set[tuple[int, int]] = set()

    def count(self, *paths: str) -> int:
        """Bytes of what lies at the paths, with all below them; what is not there takes nothing."""
        total = 0
        for path in paths:
            for status in _statuses(path, self._parts):
                if _is_linked(status):
                    if (status.st_dev, status.st_ino) in self._linked:
                        continue
                    self._linked.add((status.st_dev, status.st_ino))
                total += status.st_blocks * _BLOCK
            self._parts.add(path)
        return total


def disk_usage(path: str) -> int:
    """Bytes that a file, or a folder with all below it, takes on disk; each hard link's file counts once."""
    return Ledger().count(path)


def freed_by_removing(path: str) -> int:
    """Bytes that come free with the file or folder: files that have names elsewhere stay."""
    total = 0
    elsewhere: dict[tuple[int, int], int] = {}
    for status in _statuses(path):
        if _is_linked(status):
            key = (status.st_dev, status.st_ino)
            elsewhere[key] = elsewhere.get(key, status.st_nlink) - 1
            if elsewhere[key]:
                continue
        total += status.st_blocks * _BLOCK
    return total


def share_of(path: str) -> int:
    """Bytes that the file or folder takes, of a file with several names the part of each: so the shares of
    all folders add up to what all of them take."""
    total = 0.0
    for status in _statuses(path):
        total += status.st_blocks * _BLOCK / (status.st_nlink if _is_linked(status) else 1)
    return round(total)


def _is_linked(status: os.stat_result) -> bool:
    return status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)


def _statuses(path: str, without: Set[str] = frozenset()) -> Iterator[os.stat_result]:
    """The status of every name at and below `path`, but for the paths `without` and what is below them."""
    if path in without:
        return
    try:
        status = os.lstat(path)
    except OSError:
        return
    yield status
    pending = [_Folder(path)] if stat.S_ISDIR(status.st_mode) else []
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder.path) as items:
                for item in items:
                    if item.path in without:
                        continue
                    if item.is_dir(follow_symlinks=False):
                        pending.append(_Folder(item.path, folder.base))
                    yield item.stat(follow_symlinks=False)
        except OSError:
            continue


class _Folder:
    """A folder by its path, which may lead through the descriptor of one further up: `base`.

    A step may have left folders that lie deeper than a path can say (PATH_MAX, 4096 bytes).
    """

    def __init__(self, path: str, base: _Base | None = None) -> None:
        self.path = path
        self.base = base
        if len(path) > _LONGEST:
            try:
                self.base = _Base(path)
                self.path = self.base.path
            except OSError:
                pass  # it cannot be looked into either


class _Base:
    """A folder that is held open as long as paths lead through it."""

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.path = f"/proc/self/fd/{self._descriptor}"

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
