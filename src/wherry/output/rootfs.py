"""`-o type=tar` and `type=local`: an image's root file system as plain files, its layers merged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Note, ignore
from wherry.base.paths import Root
from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.output.tarball import Writable
from wherry.snapshot.view import Found, View
from wherry.store.images import Image
from wherry.store.store import Store

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_BLOCK = 1 << 20
_PLAIN_MODE = 0o1777
"""The bits that exported files keep. They belong to the user now: none may run with his rights by setuid."""


def write_tar(store: Store, image: Image, sink: Writable) -> None:
    """Everything with its owner, mode, times and attributes; the root folder itself is left out."""
    view = View(Layers(store), image.config.diff_ids)
    with LayerWriter(sink.write) as writer:
        for found, entry in _linked(view):
            if entry.kind == FILE:
                with view.open(found) as content:
                    writer.add(entry, content)
            else:
                writer.add(entry)
        writer.finish()


def write_folder(store: Store, image: Image, folder: str, emit: Emit = ignore) -> None:
    """Into `folder`, which is made if need be; what it has else stays. No link in it is followed.

    Files belong to the user who exports. Devices are left out with a warning.
    """
    view = View(Layers(store), image.config.diff_ids)
    with _named(folder):
        os.makedirs(folder, exist_ok=True)
        root = Root(folder)
    with root:
        left_out = _Folder(root, view, folder).write()
    if left_out:
        emit(Note("warning", f"{left_out} device nodes were not exported"))


def _linked(view: View) -> Iterator[tuple[Found, Entry]]:
    """All below the root; each further name of one file is a hard link to the first.

    A view shows hard links as files. Two names are one file where their content is the same piece of a layer.
    """
    names: dict[tuple[str, int], str] = {}
    for found in view.walk():
        entry = found.entry
        if not entry.path:
            continue
        if entry.kind == FILE and entry.offset >= 0:
            first = names.setdefault((found.diff_id, entry.offset), entry.path)
            if first != entry.path:
                entry = entry._replace(kind=HARDLINK, link=first, size=0, digest=b"", offset=-1)
        yield found, entry


class _Folder:
    def __init__(self, root: Root, view: View, name: str) -> None:
        self._root = root
        self._view = view
        self._name = name

    def write(self) -> int:
        """The number of devices that were left out."""
        left_out = 0
        folders = []
        for found, entry in _linked(self._view):
            with _named(f"{self._name}/{entry.path}"):
                if entry.kind in (CHARACTER, BLOCK):
                    left_out += 1
                elif entry.kind == DIRECTORY:
                    self._make_folder(entry)
                    folders.append(entry)
                else:
                    self._clear(entry.path)
                    self._write_one(found, entry)
        # Modes come last, as a folder may be closed to its own owner; times too: each new name moves them.
        for entry in reversed(folders):
            with _named(f"{self._name}/{entry.path}"):
                self._root.chmod(entry.path, entry.mode & _PLAIN_MODE)
                self._root.utime(entry.path, entry.mtime)
        return left_out

    def _make_folder(self, entry: Entry) -> None:
        if self._root.exists(entry.path):
            if stat.S_ISDIR(self._root.lstat(entry.path).st_mode):
                self._root.chmod(entry.path, entry.mode & _PLAIN_MODE | 0o700)
                return
            self._root.unlink(entry.path)
        self._root.mkdir(entry.path, entry.mode & _PLAIN_MODE | 0o700)

    def _clear(self, path: str) -> None:
        if self._root.exists(path):
            self._root.unlink(path)  # a folder with content stands: it may be the user's own

    def _write_one(self, found: Found, entry: Entry) -> None:
        if entry.kind == HARDLINK:
            self._root.link(entry.link, entry.path)
            return
        if entry.kind == SYMLINK:
            self._root.symlink(entry.link, entry.path)
        elif entry.kind == FIFO:
            self._root.mknod(entry.path, stat.S_IFIFO | 0o600)
        else:
            with self._view.open(found) as content:
                self._copy(entry.path, content)
        self._root.chmod(entry.path, entry.mode & _PLAIN_MODE)
        self._root.utime(entry.path, entry.mtime)

    def _copy(self, path: str, content: BinaryIO) -> None:
        with open(self._root.open(path, _CREATE, 0o600), "wb", buffering=0) as file:
            while data := content.read(_BLOCK):
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]


@contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WherryError(f"cannot write {path}: {error.strerror or error}") from None
