"""What a root filesystem holds, as values that can be compared: a real tree's, and a view's."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK
from wherry.layer.forms import USER, current_form
from wherry.oci.digest import Digest
from wherry.snapshot.view import View

SECOND = 1_000_000_000
STUB = {"dev", "etc", "proc", "sys"}
"""The top-level names of overlay's stub: no test makes any of them."""
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}


class Node(NamedTuple):
    """What a file is, all but its name. `names`: all the names that its content has, if several."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    content: bytes
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, bytes], ...]
    names: tuple[str, ...]

    def without_time_of_folder(self) -> Node:
        return self._replace(mtime=0) if self.kind == DIRECTORY else self


Tree = dict[str, Node]


def loose(tree: Tree) -> Tree:
    """Without the times of folders: a layer need not say them."""
    return {path: node.without_time_of_folder() for path, node in tree.items()}


def check_links(before: Tree, left: Tree, after: Tree) -> None:
    """No link that the step left is lost. One more may be there: overlay parts the names of a lower layer's
    file when it copies one of them up, and a copy that is no change is dropped again. (In a user namespace,
    overlay also shows two numbers for one file that was copied up to be linked.)"""
    for path, node in after.items():
        names = set(node.names)
        assert set(left[path].names) <= names
        assert current_form() is USER or names <= {
            path,
            *left[path].names,
            *(before[path].names if path in before else ()),
        }


def comparable(tree: Tree, clamp: int | None) -> Tree:
    """What must be the same before and after a layer is made, links aside: with `clamp`, no time at all."""
    tree = {path: node._replace(names=()) for path, node in loose(tree).items()}
    return tree if clamp is None else {path: node._replace(mtime=0) for path, node in tree.items()}


def tree_of(root: str) -> Tree:
    names: dict[int, list[str]] = {}
    tree: Tree = {}
    pending = [""]
    while pending:
        path = pending.pop()
        full = f"{root}/{path}" if path else root
        status = os.lstat(full)
        if stat.S_ISSOCK(status.st_mode):
            continue
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        if kind == DIRECTORY:
            below = [name for name in os.listdir(full) if path or name not in STUB]
            pending += [f"{path}/{name}" if path else name for name in below]
        elif kind == FILE and status.st_nlink > 1:
            names.setdefault(status.st_ino, []).append(path)
        tree[path] = Node(
            kind,
            stat.S_IMODE(status.st_mode),
            (status.st_uid, status.st_gid),
            status.st_mtime_ns // SECOND,
            hashlib.sha256(Path(full).read_bytes()).digest() if kind == FILE else b"",
            os.readlink(full) if kind == SYMLINK else "",
            (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in (CHARACTER, BLOCK) else (0, 0),
            tuple(
                (name, os.getxattr(full, name, follow_symlinks=False))
                for name in sorted(os.listxattr(full, follow_symlinks=False))
                if not name.startswith("trusted.")
            ),
            (),
        )
    for group in names.values():
        for path in group:
            tree[path] = tree[path]._replace(names=tuple(sorted(group)) if len(group) > 1 else ())
    return tree


def tree_of_view(view: View) -> Tree:
    """Two names in a view share a file if one layer says so."""
    groups: dict[tuple[Digest, str], list[str]] = {}
    tree: Tree = {}
    for entry, diff_id in view.walk():
        tree[entry.path] = Node(
            entry.kind,
            entry.mode,
            (entry.uid, entry.gid),
            entry.mtime // SECOND,
            entry.digest,
            entry.link,
            entry.device,
            entry.xattrs,
            (),
        )
        if diff_id:
            raw = view.cache.of(diff_id).entries.get(entry.path)
            if raw is not None and raw.kind in (FILE, HARDLINK):
                groups.setdefault((diff_id, raw.link or raw.path), []).append(entry.path)
    for group in groups.values():
        for path in group:
            tree[path] = tree[path]._replace(names=tuple(sorted(group)) if len(group) > 1 else ())
    return tree
