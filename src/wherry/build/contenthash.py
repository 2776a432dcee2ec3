"""The digest of what a COPY copies, or a mount shows."""

from __future__ import annotations

import hashlib

from wherry.layer.entry import Entry


class TreeHash:
    """The digest of a set of entries, in the order given: everything of them but owners' names, and times
    where nobody gives them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, path: str, entry: Entry, link: str, mtime: int | None = None) -> None:
        """`path` and `link` take the place of the entry's own, and `mtime` counts."""
        face = f"{entry.kind}{entry.mode:o} {entry.uid} {entry.gid} {entry.size} {entry.device}"
        text = f"{path}\0{face}\0{link}\0".encode("utf-8", "surrogateescape")
        self._hash.update(text + entry.digest)
        if mtime is not None:
            self._hash.update(b"\0%d" % mtime)
        for name, value in entry.xattrs:
            self._hash.update(f"\0{name}={len(value)}:".encode() + value)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
