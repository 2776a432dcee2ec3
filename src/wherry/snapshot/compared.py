"""What was changed in a whole tree that was copied from an image, and that nobody has kept an eye on since.

What it has is compared by `scan.py`, as overlay's upper folder is, which reads the files that look as they
did; here is what no scan of the tree itself can see: what is missing in it, and which of its links are old.
"""

from __future__ import annotations

import os
import stat

from wherry.layer.entry import BLOCK, CHARACTER, FILE, HARDLINK
from wherry.layer.folders import Folders
from wherry.layer.forms import TRUSTED, current_form
from wherry.oci.digest import Digest
from wherry.snapshot.told import Told
from wherry.snapshot.view import View

_Shared = tuple[Digest, str]
"""A file of the image: the layer that has it, and its first name there."""


def compared(folders: Folders, lower: View) -> Told:
    """For `scan` of the tree `folders`, which began as that of `lower`; it is only read."""
    told = Told()
    makes_devices = current_form() is TRUSTED
    groups: dict[int, set[_Shared | None]] = {}
    pending = [""]
    while pending:
        path = pending.pop()
        prefix = f"{path}/" if path else ""
        missing = set(lower.children(path))
        for name, status in _items(folders.open(path)):
            missing.discard(name)
            if stat.S_ISDIR(status.st_mode):
                pending.append(prefix + name)
            elif stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                groups.setdefault(status.st_ino, set()).add(_shared(lower, prefix + name))
        for name in sorted(missing):
            if makes_devices or not _is_device(lower, prefix + name):
                told.remove(prefix + name)
    told.alike.update(inode for inode, files in groups.items() if len(files) == 1 and None not in files)
    return told


def _shared(lower: View, path: str) -> _Shared | None:
    found = lower.lookup(path)
    if found is None or found.entry.kind != FILE:
        return None
    own = lower.cache.of(found.diff_id).entries[path]
    return found.diff_id, own.link if own.kind == HARDLINK else own.path


def _is_device(lower: View, path: str) -> bool:
    """One that this process could not make, so that it is not missed."""
    found = lower.lookup(path)
    return found is not None and found.entry.kind in (CHARACTER, BLOCK)


def _items(folder: int) -> list[tuple[str, os.stat_result]]:
    with os.scandir(folder) as found:
        return [(item.name, item.stat(follow_symlinks=False)) for item in found]
