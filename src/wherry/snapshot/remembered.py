"""A view that keeps the answers which it gave: the next container of an image asks the same few questions.

To start a process of an image needs a handful of its paths: the root, links on the way to the mount points,
the working folder, /etc/passwd. An index with 50,000 entries takes 50 ms to read, and importing what reads it
takes 15. The layers of a diff ID never change, so neither do the answers.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from wherry.base import memory
from wherry.layer.entry import Entry
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.view import Found, View
from wherry.store.store import Store

_MOST = 1000
"""So many answers are kept: whoever mounts on ever other paths must not make it grow."""
_IMPLIED = "//implied"
"""No path, but the question for `View.implied`."""


class RememberedView(View):
    """As `View`; what `lookup` and `implied` said is known to the next one of the same layers once `keep` was
    called. One thread's."""

    def __init__(self, store: Store, layers: Layers, diff_ids: Sequence[Digest]) -> None:
        super().__init__(layers, diff_ids)
        self._path = _path(store, diff_ids) if diff_ids else ""
        self._known = self._load()
        self._is_new = False

    def lookup(self, path: str) -> Found | None:
        path = path.strip("/")
        if path in self._known:
            known = self._known[path]
            return Found(Entry(*known[0]), known[1]) if known else None
        found = super().lookup(path)
        self._note(path, (tuple(found.entry), found.diff_id) if found else None)
        return found

    def implied(self) -> list[str]:
        if _IMPLIED not in self._known:
            self._note(_IMPLIED, super().implied())
        return list(self._known[_IMPLIED])

    def keep(self) -> None:
        """Write down what was not known before. Where that fails it is found out again."""
        if self._path and self._is_new and len(self._known) <= _MOST:
            raw = marshal.dumps(self._known)
            memory.save(self._path, {"of": self._subject(), "answers": raw, "check": crc32(raw)})
            self._is_new = False

    def _note(self, question: str, answer: object) -> None:
        self._known[question] = answer
        self._is_new = True

    def _load(self) -> dict[str, Any]:
        """Nothing where the file is of other layers, or damaged."""
        if not self._path:
            return {}
        kept = memory.load(self._path)
        raw = kept.get("answers", b"")
        if kept.get("of") != self._subject() or kept.get("check") != crc32(raw):
            return {}
        known: dict[str, Any] = marshal.loads(raw)
        return known

    def _subject(self) -> list[str]:
        """Whose answers these are, and of what a `Found` consists."""
        return [*self.diff_ids, *Entry._fields]


def _path(store: Store, diff_ids: Sequence[Digest]) -> str:
    """In the folder of the highest layer, which it goes with."""
    return memory.path(store.layers.folder(diff_ids[-1]), f"seen-{crc32(''.join(diff_ids).encode()):08x}")
