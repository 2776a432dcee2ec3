"""The files of an archive that is being loaded: laid in a scratch folder, hashed, none of it believed."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import BinaryIO, Generic, TypeVar

from wherry.base.errors import Corrupt, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.compress import decompressed
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from wherry.layer.reader import read_layer
from wherry.layer.source import Limits, limits
from wherry.layer.writer import Readable
from wherry.oci import digest as digests
from wherry.oci.descriptor import MAX_DOCUMENT
from wherry.oci.digest import Digest

_MAX_MEMBERS = 100_000
_LAYERS = 16
"""An archive may have so many times the content that one layer may have."""
_MAX_HOPS = 8
_BLOCK = 1 << 20


File = TypeVar("File")


class Member(NamedTuple):
    """A regular file of the archive: where it lies now, its own digest, its size in bytes."""

    path: str
    digest: Digest
    size: int


class Names(Generic[File]):
    """Files by name. Links stay within the archive: they are looked up here, never on disk."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}

    def has(self, name: str) -> bool:
        return self._resolve(name) in self._files

    def find(self, name: str) -> File:
        file = self._files.get(self._resolve(name))
        if file is None:
            raise Corrupt(f"the archive has no {name[:200]!r}, which it speaks of")
        return file

    def names(self) -> list[str]:
        return [*self._files, *self._links]

    def add_file(self, name: str, file: File) -> None:
        self._links.pop(name, None)
        self._files[name] = file

    def add_link(self, name: str, target: str) -> None:
        self._files.pop(name, None)
        self._links[name] = target

    def _resolve(self, name: str) -> str:
        """The name behind all links; old dockers and skopeo link layers that are there twice."""
        name = posixpath.normpath(name)
        for _ in range(_MAX_HOPS):
            if name not in self._links:
                return name
            name = self._links[name]
            if name.startswith(("/", "../")) or name == "..":
                raise Corrupt(f"the archive has a link that leads out of it, to {name[:200]!r}")
        raise Corrupt(f"the archive has links that lead nowhere: {name[:200]!r}")


class Members(Names[Member]):
    """Files that lie in `folder` now, under numbers."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self._count = 0

    def keep(self, content: Readable) -> Member:
        """Write a file into the folder; WherryError where that is not possible."""
        self._count += 1
        path, digest, size = f"{self._folder}/{self._count}", hashlib.sha256(), 0
        try:
            with open(path, "xb", buffering=0) as file:
                while data := content.read(_BLOCK):
                    digest.update(data)
                    size += len(data)
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
        return Member(path, digests.from_hex(digest.hexdigest()), size)

    def make(self, data: bytes) -> Member:
        """A file that the archive should have, and has not."""
        return self.keep(io.BytesIO(data))

    def document(self, name: str) -> bytes:
        """A small file whole."""
        member = self.find(name)
        if member.size > MAX_DOCUMENT:
            raise Corrupt(f"{name[:200]!r} has {member.size} bytes: at most {MAX_DOCUMENT} are read")
        with open(member.path, "rb") as file:
            return file.read()

    def blob(self, digest: Digest) -> Member:
        """A blob of a layout, whose content has the digest that it is named by."""
        name = f"blobs/sha256/{digests.hex_of(digest)}"
        member = self.find(name)
        if member.digest != digest:
            raise Corrupt(f"{name} has other content than its name says: {member.digest}")
        return member


def _limits() -> Limits:
    one = limits()
    return one._replace(size=_LAYERS * one.size, entries=_MAX_MEMBERS)


def read(stream: BinaryIO, folder: str) -> Members:
    """All files of the tar `stream`, compressed or not, written to `folder` under numbers."""
    members = Members(folder)
    try:
        for entry, content in read_layer(decompressed(stream), _limits()):
            if entry.kind == FILE:
                members.add_file(entry.path, members.keep(content))
            elif entry.kind == HARDLINK:
                members.add_link(entry.path, entry.link)
            elif entry.kind == SYMLINK:
                target = posixpath.join(posixpath.dirname(entry.path), entry.link)
                members.add_link(entry.path, posixpath.normpath(target))
            elif entry.kind != DIRECTORY:
                raise Corrupt(f"an image archive holds no devices and no pipes: {entry.path[:200]!r}")
    except Corrupt as error:
        raise Corrupt(
            f"not an image archive, or a damaged one: {error.message}",
            hint="`wherry load` takes what `docker save`, `podman save` and `skopeo copy` write",
        ) from None
    return members


def read_folder(source: str, folder: str) -> Members:
    """As `read`, of a layout that lies in the folder `source`; links and what is no file are left out."""
    members = Members(folder)
    for number, (name, path) in enumerate(_files(source)):
        if number == _MAX_MEMBERS:
            raise Corrupt(f"{source} has more than {_MAX_MEMBERS} files")
        # O_NONBLOCK: a pipe that takes a file's place must not keep us waiting.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = open(os.open(path, flags), "rb", buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            raise WherryError(f"cannot read {path}: {error.strerror}") from None
        with file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                members.add_file(name, members.keep(file))
    return members


def _files(source: str) -> Iterator[tuple[str, str]]:
    """What a layout or an unpacked docker archive is made of: nothing lies below `blobs/sha256/`."""
    for folder, folders, names in os.walk(source, onerror=_unreadable):
        below = os.path.relpath(folder, source)
        if "/" in below:
            folders.clear()
        for name in sorted(names):
            path = f"{folder}/{name}"
            if not os.path.islink(path):
                yield os.path.normpath(f"{below}/{name}"), path


def _unreadable(error: OSError) -> None:
    raise WherryError(f"cannot read {error.filename}: {error.strerror}") from None
