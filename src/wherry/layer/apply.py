"""Extracts a layer into a folder in the form that overlay mounts: whiteouts are nodes, opaque folders marked.

The folder must be new and in nobody else's reach. Even so no name is ever joined to a path: every folder is
opened by its last name beneath its parent's descriptor, following no link, and files are made with O_EXCL.
What the stream says about links and names that come twice is settled by `tree.py` before the disk is touched.

Nothing is synced: 9,000 fsyncs cost seconds, and an extracted tree can be made again from its stream. After a
loss of power a tree may be damaged; `wherry` cannot tell, as docker and containerd cannot.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import BinaryIO

from wherry.base.errors import Corrupt, Denied, WherryError
from wherry.layer import owners, sparse
from wherry.layer.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)
from wherry.layer.folders import Folders
from wherry.layer.forms import PLAIN, OverlayForm
from wherry.layer.making import CREATE, finish_file, make_node, make_symlink, set_xattrs
from wherry.layer.near import Near
from wherry.layer.pipe import BLOCK as PIECE
from wherry.layer.pipe import Ahead
from wherry.layer.reader import read_source
from wherry.layer.source import Content, Limits, Source
from wherry.layer.tree import Placed, Tree
from wherry.layer.writer import Layer

_SPARSE_FROM = 1 << 16
"""Smaller files are written with their zeros."""


def extract(stream: BinaryIO, folder: str, form: OverlayForm, limits: Limits | None = None) -> Layer:
    """Writes the layer of the uncompressed tar `stream` into `folder`, which is made if need be.

    Returns the layer with all digests; the caller compares `diff_id`. Corrupt for what is no valid layer: the
    folder is then to be thrown away. Devices that this process may not make, and extended attributes that the
    file system refuses, are in the entries alone.
    """
    limits = limits or Limits()
    with Ahead(stream.read, limits.stream) as ahead, _converted(folder):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        with Folders(folder) as folders:
            tree = _Extraction(folders, form, limits).run(Source(ahead.block))
        return tree.layer(*ahead.finish())


def extract_near(layer: Layer, tar: BinaryIO, folder: str, form: OverlayForm, near: Near) -> None:
    """As `extract`, of a layer whose index is known and whose stream is the file `tar`: what `near` has is
    linked, and the content of the other files is read from their places in the stream, each verified.
    """
    with _converted(folder):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        with Folders(folder) as folders:
            _Extraction(folders, form, Limits()).run_near(layer, tar, near)


def read_index_of(stream: BinaryIO, limits: Limits | None = None) -> Layer:
    """As `extract`, without a folder: the same entries, nothing written."""
    limits = limits or Limits()
    tree = Tree(limits)
    with Ahead(stream.read, limits.stream) as ahead:
        for entry, content in read_source(Source(ahead.block), limits):
            placed = tree.place(entry)
            if placed and entry.kind == FILE:
                tree.found[placed.entry.path] = placed.entry._replace(digest=_digest(content))
        return tree.layer(*ahead.finish())


class _Extraction:
    def __init__(self, folders: Folders, form: OverlayForm, limits: Limits) -> None:
        self._folders = folders
        self._form = form
        self._limits = limits
        self._tree = Tree(limits)

    def run(self, source: Source) -> Tree:
        for entry, content in read_source(source, self._limits):
            placed = self._tree.place(entry)
            if placed:
                self._write(placed, content)
        entries = self._tree.entries()
        if self._form is not PLAIN:
            self._mark(entries)
        self._finish_folders(entries)
        return self._tree

    def run_near(self, layer: Layer, tar: BinaryIO, near: Near) -> None:
        for entry in layer.entries:
            self._tree.found[entry.path] = entry
            if entry.kind != FILE:
                self._write(Placed(entry, None), Content(Source(bytes), 0))
            elif not near.link(entry, *self._folders.parent(entry.path)):
                content = Content(Source(partial(_block, tar, count(entry.offset, PIECE))), entry.size)
                if self._write_file(entry, content) != entry.digest:
                    raise Corrupt(f"a layer's tar stream in the store is damaged: {entry.path!r}")
        self._finish_folders(layer.entries)

    def _mark(self, entries: tuple[Entry, ...]) -> None:
        """What the layer hides of others, as overlay reads it."""
        for entry in entries:
            if entry.kind == WHITEOUT:
                folder, name = self._folders.parent(entry.path)
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=folder)
            elif entry.kind == OPAQUE:
                os.setxattr(self._folders.open(entry.path), self._form.opaque, b"y")

    def _write(self, placed: Placed, content: Content) -> None:
        entry = placed.entry
        if placed.replaced:
            self._folders.remove(entry.path)
        if entry.kind == FILE:
            digest = self._write_file(entry, content)
            self._tree.found[entry.path] = entry._replace(digest=digest)
        elif entry.kind == DIRECTORY:
            self._folders.open(entry.path)
        elif entry.kind == HARDLINK:
            self._link(entry)
        elif entry.kind == SYMLINK:
            make_symlink(*self._folders.parent(entry.path), entry, has_owners=self._form.has_owners)
        else:
            make_node(*self._folders.parent(entry.path), entry, has_owners=self._form.has_owners)

    def _write_file(self, entry: Entry, content: Content) -> bytes:
        folder, name = self._folders.parent(entry.path)
        descriptor = os.open(name, CREATE, 0o600, dir_fd=folder)
        try:
            digest = _copy(descriptor, content)
            finish_file(descriptor, entry, has_owners=self._form.has_owners)
        finally:
            os.close(descriptor)
        return digest

    def _link(self, entry: Entry) -> None:
        target_folder, target = self._folders.parent(entry.link)
        target_folder = os.dup(target_folder)
        try:
            folder, name = self._folders.parent(entry.path)
            os.link(target, name, src_dir_fd=target_folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if self._tree.found[entry.link].kind not in (CHARACTER, BLOCK):
                raise
            # a name of a device that could not be made
        finally:
            os.close(target_folder)

    def _finish_folders(self, entries: tuple[Entry, ...]) -> None:
        """What folders are like comes last, from the leaves to the root: a name made in a folder changes its
        time, gets a default access list of it for its own, and not every process may write to a folder that
        its owner may not.
        """
        for entry in reversed(entries):
            if entry.kind == DIRECTORY:
                descriptor = self._folders.open(entry.path)
                owners.give(descriptor, entry.uid, entry.gid, has_owners=self._form.has_owners)
                set_xattrs(descriptor, entry)
                os.fchmod(descriptor, entry.mode)
                os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def _block(tar: BinaryIO, offsets: Iterator[int]) -> bytes:
    return os.pread(tar.fileno(), PIECE, next(offsets))


def _digest(content: Content) -> bytes:
    digest, end = hashlib.sha256(), 0
    for offset, data in content.pieces():
        for hole in sparse.zeros(offset - end):
            digest.update(hole)
        digest.update(data)
        end = offset + len(data)
    for hole in sparse.zeros(content.size - end):
        digest.update(hole)
    return digest.digest()


def _copy(descriptor: int, content: Content) -> bytes:
    """Writes the content, holes left out; its sha256."""
    if content.size <= _SPARSE_FROM:
        data = content.read()
        written = os.write(descriptor, data) if data else 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        return hashlib.sha256(data).digest()
    digest, end = hashlib.sha256(), 0
    for offset, data in content.pieces():
        for hole in sparse.zeros(offset - end):
            digest.update(hole)
        sparse.write(descriptor, data, offset)
        digest.update(data)
        end = offset + len(data)
    for hole in sparse.zeros(content.size - end):
        digest.update(hole)
    os.ftruncate(descriptor, content.size)
    return digest.digest()


@contextmanager
def _converted(folder: str) -> Iterator[None]:
    """System errors that an image or the machine can cause, as errors for the user."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.EINVAL):
            raise Denied(
                f"cannot extract a layer into {folder}: {error.strerror}",
                hint="files of other owners need root, or a range of ids in /etc/subuid and /etc/subgid",
            ) from None
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT):
            raise Corrupt(f"a layer cannot be extracted: {error.filename!r}: {error.strerror}") from None
        raise WherryError(f"cannot write to {folder}: {error.strerror}") from None
