"""Digests of a context's files, remembered by (device, inode, size, mtime, ctime).

A file that has all five as before is not read again. A change within the clock's last tick could leave
them as they were, so a file is remembered only when its ctime was old enough when it was read.
"""

from __future__ import annotations

import hashlib
import os
import time

from wherry.build import memory
from wherry.layer.entry import Entry

_TICK = 50_000_000
"""Nanoseconds: longer than a tick of the clock that any file system of Linux stamps files with."""

Stamp = tuple[int, int, int, int, int]


def stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class FileDigests:
    """What is known of one context, loaded on first use and written back by `save`."""

    def __init__(self, folder: str, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._path = memory.path(folder, f"digests-{name}")
        self._known: dict[str, tuple[Stamp, bytes]] | None = None
        self._changed = False

    def get(self, path: str, current: Stamp) -> bytes | None:
        known = self._entries().get(path)
        return known[1] if known is not None and known[0] == current else None

    def put(self, path: str, current: Stamp, digest: bytes, read_at: int) -> None:
        """`read_at`: nanoseconds since 1970, taken before the file was opened."""
        if current[4] + _TICK < read_at:
            self.put_settled(path, current, digest)

    def put_settled(self, path: str, current: Stamp, digest: bytes) -> None:
        """For a file that nobody will change."""
        self._entries()[path] = (current, digest)
        self._changed = True

    def save(self) -> None:
        if not self._changed or self._known is None:
            return
        memory.save(self._path, self._known)
        self._changed = False

    def _entries(self) -> dict[str, tuple[Stamp, bytes]]:
        if self._known is None:
            self._known = memory.load(self._path)
        return self._known


def now() -> int:
    return time.time_ns()


class TreeHash:
    """The digest of a set of entries, in the order given: everything of them but times and owners' names."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        self._hash.update(
            f"{entry.path}\0{entry.kind}{entry.mode:o} {entry.uid} {entry.gid} {entry.size} {entry.device}"
            f"\0{entry.link}\0".encode("utf-8", "surrogateescape")
        )
        self._hash.update(entry.digest)
        for name, value in entry.xattrs:
            self._hash.update(f"\0{name}={len(value)}:".encode() + value)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
