"""Tar archives as build contexts: unpacked into a folder, by any user, before anything else is known of them.

The folder is new and in nobody else's reach. Folders are opened one beneath the other without following
links; what names that come twice, links and parents that are missing add up to is `layer/tree.py`'s business.
Owners, times and extended attributes are left out: no context has them. A `.wh.` file is a file like others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import Corrupt, WherryError
from wherry.layer import sparse
from wherry.layer.compress import decompressed
from wherry.layer.entry import DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.folders import Folders
from wherry.layer.reader import begins_tar, read_layer
from wherry.layer.source import Content, Limits, limits
from wherry.layer.tree import Placed, Tree

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


class Incoming:
    """A stream of bytes that is an archive or something else, compressed or not: its content tells which."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        """`label` names it in errors."""
        self.label = label
        with _explained(label):
            self._stream = decompressed(stream)
            self._start = self._stream.read(_BLOCK)

    @property
    def is_archive(self) -> bool:
        """An archive of nothing is one too: it begins with the empty block that ends it."""
        return begins_tar(self._start) or self._start == bytes(_BLOCK)

    def read(self, size: int = -1) -> bytes:
        """From the beginning, without the compression; fewer bytes than `size` only at the end, if at all."""
        if not self._start:
            return self._stream.read(size)
        data, self._start = self._start, b""
        if 0 <= size < len(data):
            data, self._start = data[:size], data[size:]
            return data
        return data + self._stream.read(size - len(data) if size >= 0 else -1)


def unpack(stream: Incoming, folder: str, bounds: Limits | None = None) -> None:
    """Write the archive's entries into the empty `folder`.

    Raises WherryError for what is no valid archive, has device nodes or asks for more than the limits.
    """
    with _explained(stream.label), Folders(folder) as folders:
        _Unpacking(folders).run(stream, bounds or limits())


@contextmanager
def _explained(label: str) -> Iterator[None]:
    try:
        yield
    except WherryError as error:
        error.message = f"{label} cannot be unpacked: {error.message}"
        raise
    except OSError as error:
        raise WherryError(f"{label} cannot be unpacked: {error.strerror}") from None


class _Unpacking:
    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._tree = Tree()

    def run(self, stream: Incoming, bounds: Limits) -> None:
        for entry, content in read_layer(stream, bounds, whiteouts=False):
            placed = self._tree.place(entry)
            if placed is not None:
                self._write(placed, content)
        # Last of all, from the leaves to the root: nothing could be made in a folder that may not be written.
        for entry in reversed(self._tree.entries()):
            if entry.kind == DIRECTORY:
                os.fchmod(self._folders.open(entry.path), entry.mode)

    def _write(self, placed: Placed, content: Content) -> None:
        entry = placed.entry
        if placed.replaced:
            self._folders.remove(entry.path)
        if entry.kind == DIRECTORY:
            self._folders.open(entry.path)
        elif entry.kind == FILE:
            self._write_file(entry, content)
        elif entry.kind == HARDLINK:
            self._link(entry)
        elif entry.kind == SYMLINK:
            folder, name = self._folders.parent(entry.path)
            os.symlink(entry.link, name, dir_fd=folder)
        elif entry.kind == FIFO:
            folder, name = self._folders.parent(entry.path)
            os.mkfifo(name, 0o600, dir_fd=folder)
            os.chmod(name, entry.mode, dir_fd=folder)  # the name is the pipe just made: no link is followed
        else:
            raise Corrupt(f"it has the device node {entry.path!r}, which no build context can have")

    def _write_file(self, entry: Entry, content: Content) -> None:
        folder, name = self._folders.parent(entry.path)
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            for offset, data in content.pieces():
                sparse.write(descriptor, data, offset)
            os.ftruncate(descriptor, content.size)
            os.fchmod(descriptor, entry.mode)
        finally:
            os.close(descriptor)

    def _link(self, entry: Entry) -> None:
        target_folder, target = self._folders.parent(entry.link)
        target_folder = os.dup(target_folder)
        try:
            folder, name = self._folders.parent(entry.path)
            os.link(target, name, src_dir_fd=target_folder, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(target_folder)
