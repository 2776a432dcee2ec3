"""A view that notes what it is asked: how wherry's own steps (COPY, WORKDIR) are observed."""

from __future__ import annotations

from typing import BinaryIO

from wherry.layer.entry import SYMLINK
from wherry.snapshot.differences import ALL, CONTENT, FACE, NAMES
from wherry.snapshot.tracks import Tree
from wherry.snapshot.view import Found, View


class NotingView(View):
    """As `tree.view`; what is looked up in it is an observation of `tree`.

    Only what the public methods give counts: that a folder exists on the way is a part of each answer.
    """

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree.view.layers, tree.view.diff_ids, tree.view.cache)
        self._tree = tree

    def lookup(self, path: str) -> Found | None:
        found = super().lookup(path)
        path = path.strip("/")
        self._note_way(path)
        is_link = found is not None and found.entry.kind == SYMLINK
        self._tree.note(path, FACE | CONTENT if is_link else FACE)
        return found

    def children(self, path: str) -> list[str]:
        path = path.strip("/")
        self._note_way(path)
        self._tree.note(path, FACE | NAMES)
        return super().children(path)

    def open(self, found: Found) -> BinaryIO:
        self._tree.note(found.entry.path, ALL)
        return super().open(found)

    def _note_way(self, path: str) -> None:
        while path:
            path = path.rpartition("/")[0]
            if self._tree.found.get(path, 0) & FACE:
                return  # and so have been all folders above it
            self._tree.note(path, FACE)
