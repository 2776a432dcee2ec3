"""To whom what a step left belongs, where the file system does not say: in the single-id mode.

What the step asked for goes first. Who copies a file and its owner, as `sed -i` and `useradd` do, asks for
the owner that stat(2) shows, which is the same for all files: where a new file takes an old one's place by
that, or is a backup of it by its name (`shadow-`), it gets the old one's owner. What the step asked nothing
for belongs to the lower layers' owner if it is theirs, else to the step's user, or the group of a
set-group-ID folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

from wherry.base.tuples import NamedTuple
from wherry.layer import owners
from wherry.layer.entry import DIRECTORY, FILE, SYMLINK, Entry
from wherry.layer.owners import Asked

Identity = Callable[[int, bytes], tuple[int, int]]


class Ownership(NamedTuple):
    """What a step's process was: its user; and the owners that it gave to links and pipes, by their inodes
    and times of birth, which `identity` finds (a folder's descriptor and a name, as statx(2) takes them).
    """

    uid: int = 0
    gid: int = 0
    journal: Mapping[tuple[int, int], Asked] = {}
    identity: Identity | None = None

    def find(self, folder: int, name: str) -> Asked | None:
        """What was asked for the file `name`, by the journal."""
        if not self.journal or self.identity is None:
            return None
        return self.journal.get(self.identity(folder, os.fsencode(name)))

    def of(
        self,
        entry: Entry,
        asked: Asked | None,
        is_copy: bool,
        before: Entry | None,
        original: Entry | None,
        folder: Entry | None,
    ) -> tuple[int, int]:
        """The owner of `entry`, which lies in `folder`. `before` is what lower layers have at its path, and
        `is_copy` means that it is that file, copied up; `original` is what it is named after as a backup."""
        if before is not None and (is_copy or _is_same(entry, before)):
            uid, gid = before.uid, before.gid
        else:
            uid, gid = self.uid, self._group(folder)
        if asked is None:
            return uid, gid
        model = original or before
        copies = asked.is_shown or (original is not None and asked[:2] == (self.uid, self.gid))
        if copies and model is not None and model.kind == entry.kind == FILE:
            return model.uid, model.gid
        return (uid if asked.uid is None else asked.uid), (gid if asked.gid is None else asked.gid)

    def _group(self, folder: Entry | None) -> int:
        return folder.gid if folder is not None and folder.mode & stat.S_ISGID else self.gid


def read_journal(path: str) -> dict[tuple[int, int], Asked]:
    """What `runtime/init/targets.py` has written; the last word on each file counts for each of its ids."""
    found: dict[tuple[int, int], Asked] = {}
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        inode, born, value = line.split(b" ")
        asked = owners.asked(value)
        if asked is None:
            continue
        key = int(inode), int(born)
        had = found.get(key, Asked(None, None))
        found[key] = Asked(
            had.uid if asked.uid is None else asked.uid, had.gid if asked.gid is None else asked.gid
        )
    return found


def _is_same(entry: Entry, before: Entry) -> bool:
    """Whether what cannot tell by itself is most likely what lower layers have there."""
    if entry.kind == SYMLINK:
        return before.kind == SYMLINK and before.link == entry.link
    return entry.kind == before.kind and entry.kind not in (FILE, DIRECTORY)
