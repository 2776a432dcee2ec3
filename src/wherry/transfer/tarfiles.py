"""The files of an archive where they lie: a tar on disk, read by names in any order, nothing unpacked."""

from __future__ import annotations

import os
import posixpath
import stat
import sys
from collections.abc import Callable
from typing import BinaryIO

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.layer.compress import decompressed
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from wherry.layer.pipe import BLOCK
from wherry.layer.reader import begins_tar, read_source
from wherry.layer.source import Limits, Source, limits
from wherry.layer.streams import window
from wherry.output.members import Names

_LAYERS = 16
"""An archive may have so many times the content that one layer may have."""
_MAX_MEMBERS = 100_000
_HEADER = 512


class TarFiles:
    """`shown`: the archive as it is called in messages."""

    def __init__(self, path: str, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._names: Names[tuple[int, int]] = Names()
        self._read()

    def has(self, name: str) -> bool:
        return self._names.has(name)

    def size(self, name: str) -> int:
        return self._names.find(name)[1]

    def open(self, name: str) -> BinaryIO:
        """One file's content. Corrupt where there is none of that name."""
        offset, size = self._names.find(name)
        return window(_opened(self._path), offset, size)

    def _read(self) -> None:
        with _opened(self._path) as file:
            try:
                for entry, _ in read_source(_Skipping(file), _limits()):
                    if entry.kind == FILE and entry.offset >= 0:
                        self._names.add_file(entry.path, (entry.offset, entry.size))
                    elif entry.kind == HARDLINK:
                        self._names.add_link(entry.path, entry.link)
                    elif entry.kind == SYMLINK:
                        target = posixpath.join(posixpath.dirname(entry.path), entry.link)
                        self._names.add_link(entry.path, posixpath.normpath(target))
                    elif entry.kind != DIRECTORY:
                        raise Corrupt("it holds what is neither a file nor a folder nor a link")
            except Corrupt as error:
                raise Corrupt(
                    f"{self._shown} is no image archive, or a damaged one: {error.message}"
                ) from None


class _Skipping(Source):
    """A tar in a file: what is passed over is not read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(lambda: file.read(_HEADER))
        self._file = file
        self._end = os.fstat(file.fileno()).st_size

    def skip(self, size: int) -> None:
        buffered = min(size, len(self._buffer) - self._at)
        super().skip(buffered)
        size -= buffered
        if self.position + size > self._end:
            raise Corrupt("a tar archive is cut off")
        self._file.seek(size, os.SEEK_CUR)
        self.position += size


def tar_files(path: str, shown: str, scratch: Callable[[], str]) -> TarFiles:
    """The archive at `path`. One that is compressed or comes through a pipe (`-`) is first laid into the
    folder that `scratch` makes."""
    if path == "-":
        if sys.stdin.isatty():
            raise WherryError(
                "nothing to copy: standard input is a terminal", hint="name a file, or redirect one"
            )
        return TarFiles(_laid(sys.stdin.buffer, scratch()), shown)
    with _opened(path) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and begins_tar(file.read(_HEADER)):
            return TarFiles(path, shown)
        if file.seekable():
            file.seek(0)
        return TarFiles(_laid(file, scratch()), shown)


def _laid(stream: BinaryIO, scratch: str) -> str:
    """The plain tar in `stream` as a file."""
    path, left = f"{scratch}/archive", _limits().stream
    with decompressed(stream) as plain:
        try:
            with open(path, "xb", buffering=0) as file:
                while data := plain.read(BLOCK):
                    left -= len(data)
                    if left < 0:
                        raise Corrupt("an image archive has more content than is read of one")
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
    return path


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as error:
        raise WherryError(f"cannot read {path}: {error.strerror}") from None


def _limits() -> Limits:
    one = limits()
    return one._replace(size=_LAYERS * one.size, entries=_MAX_MEMBERS)
