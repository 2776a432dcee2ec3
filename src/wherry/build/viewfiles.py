"""The snapshot of another stage, or of an image, as a tree to copy from: owners and attributes are kept."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager

from wherry.base.errors import NotFound
from wherry.layer.entry import FILE, Entry
from wherry.layer.writer import Readable
from wherry.snapshot.view import Found, View


class ViewFiles:
    def __init__(self, view: View, label: str) -> None:
        self._view = view
        self.label = label

    def lookup(self, path: str) -> Entry | None:
        found = self._view.lookup(path)
        return _marked(found) if found else None

    def names(self, path: str) -> list[str]:
        return self._view.children(path)

    def walk(self, path: str) -> Iterator[Entry]:
        below = self._view.walk(path)
        next(below, None)
        return map(_marked, below)

    def open(self, path: str) -> AbstractContextManager[Readable]:
        found = self._view.lookup(path)
        if found is None:
            raise self.missing(path)
        return self._view.open(found)

    def hash_file(self, path: str) -> bytes:
        found = self._view.lookup(path)
        return found.entry.digest if found else b""

    def learn(self, path: str, content: Readable | int, digest: bytes, read_at: int) -> None:
        """Indexes know all digests."""

    def missing(self, pattern: str) -> NotFound:
        folder, _, name = posixpath.normpath("/" + pattern).rpartition("/")
        close = difflib.get_close_matches(name, self._view.children(self._view.resolve(folder)), 1)
        hint = f"did you mean {posixpath.join(folder, close[0])!r}?" if close else ""
        return NotFound(f"{pattern!r} is not in {self.label}", hint=hint)


def _marked(found: Found) -> Entry:
    """Names of one file have its place in a layer in common; that is how they are known as hard links."""
    entry = found.entry
    if entry.kind != FILE or entry.offset < 0 or not entry.size:
        return entry
    return entry._replace(link=f"{found.diff_id} {entry.offset}")
