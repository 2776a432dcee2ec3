"""`-o type=local`: root file systems as plain files in a folder that may have others.

All of it is written into a folder within that one, and moved to its places at the end: by then nothing can
fail but a rename.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Note, ignore
from wherry.base.paths import Root
from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, SYMLINK, Entry
from wherry.output.rootfs import Placed, entries
from wherry.output.writing import writing
from wherry.snapshot.view import Found, View

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_BLOCK = 1 << 20
_PLAIN_MODE = 0o1777
"""The bits that exported files keep. They belong to the user now: none may run with his rights by setuid."""


@contextmanager
def folder(trees: Sequence[Placed], path: str, emit: Emit = ignore) -> Iterator[Folder]:
    """The files of `trees` for `path`, which is made if need be; what it has else stays.

    No link in it is followed. Files belong to the user who exports. Devices are left out with a warning.
    All comes to its place by `finish`; without it, nothing stays.
    """
    with writing(path):
        is_new = not os.path.isdir(path)
        os.makedirs(path, exist_ok=True)
        root = Root(path)
    unfinished = f".wherry-{os.getpid()}-{os.urandom(4).hex()}.new"
    with root:
        try:
            with writing(path):
                root.mkdir(unfinished, 0o700)
                aside = Root(f"{path}/{unfinished}")
            with aside:
                written = Folder(aside, root, path)
                left_out = written.write(trees)
                written.check()
                if left_out:
                    emit(Note("warning", f"{left_out} device nodes were not exported"))
                yield written
        finally:
            root.rmtree(unfinished)
            if is_new and not os.listdir(path):
                os.rmdir(path)


class Folder:
    """Files in the folder `aside`, for the same paths in `target`, which a user knows as `name`."""

    def __init__(self, aside: Root, target: Root, name: str) -> None:
        self._aside = aside
        self._target = target
        self._name = name
        self._folders: dict[str, Entry] = {}

    def write(self, trees: Sequence[Placed]) -> int:
        """The number of devices that were left out."""
        left_out = 0
        for tree, found, entry in entries(trees):
            with writing(f"{self._name}/{entry.path}"):
                if entry.kind in (CHARACTER, BLOCK):
                    left_out += 1
                elif entry.kind != DIRECTORY:
                    self._write_one(tree.view, found, entry)
                elif entry.path not in self._folders:
                    # open for us: its mode comes last, and its time, which each new name moves
                    self._aside.mkdir(entry.path, 0o700)
                    self._folders[entry.path] = entry
        return left_out

    def check(self) -> None:
        """WherryError where a file is to come to a place at which a folder lies: it may be the user's own."""
        with writing(self._name):
            for path, _ in self._moves():
                if path not in self._folders and self._has_folder(path):
                    raise WherryError(f"cannot write {self._name}/{path}: Is a directory")

    def finish(self) -> None:
        """Move everything to its place."""
        for path, is_there in self._moves():
            with writing(f"{self._name}/{path}"):
                if is_there:
                    self._target.chmod(path, 0o700)  # such a folder may be closed to its own owner
                else:
                    self._move(path)
        for path, entry in reversed(self._folders.items()):
            with writing(f"{self._name}/{path}"):
                self._target.chmod(path, entry.mode & _PLAIN_MODE)
                self._target.utime(path, entry.mtime)

    def _move(self, path: str) -> None:
        if path in self._folders and self._target.exists(path):
            self._target.unlink(path)
        with self._aside.parent(path) as (source, name), self._target.parent(path) as (target, _):
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)

    def _moves(self) -> Iterator[tuple[str, bool]]:
        """What is to be renamed: files, and folders of which there is none yet, with all that they have; True
        with the folders that are there already, before what they get."""
        # Not recursive: a path may have 2,000 parts.
        pending = self._aside.listdir()
        while pending:
            path = pending.pop()
            is_there = path in self._folders and self._has_folder(path)
            yield path, is_there
            if is_there:
                pending += [f"{path}/{name}" for name in self._aside.listdir(path)]

    def _has_folder(self, path: str) -> bool:
        return self._target.exists(path) and stat.S_ISDIR(self._target.lstat(path).st_mode)

    def _write_one(self, view: View, found: Found, entry: Entry) -> None:
        path = entry.path
        if entry.kind == HARDLINK:
            self._aside.link(entry.link, path)
            return
        if entry.kind == SYMLINK:
            self._aside.symlink(entry.link, path)
        elif entry.kind == FIFO:
            self._aside.mknod(path, stat.S_IFIFO | 0o600)
        else:
            with view.open(found) as content:
                self._copy(path, content)
        self._aside.chmod(path, entry.mode & _PLAIN_MODE)
        self._aside.utime(path, entry.mtime)

    def _copy(self, path: str, content: BinaryIO) -> None:
        with open(self._aside.open(path, _CREATE, 0o600), "wb", buffering=0) as file:
            while data := content.read(_BLOCK):
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
