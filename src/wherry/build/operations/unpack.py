"""ADD of local archives: a tar, plain or compressed, is unpacked below the target (reference, "ADD").

What an archive is is told by its content, never by its name. It is read as a stream, entry by entry, into the
layer; times, owners and modes are the archive's own, since they are part of its content.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import BinaryIO, cast

from wherry.base.errors import Corrupt, WherryError
from wherry.build.files import Files
from wherry.build.operations.place import folders_to
from wherry.layer import fields
from wherry.layer.compress import decompressed
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.reader import begins_tar, read_layer
from wherry.layer.source import Content, limits
from wherry.layer.writer import LayerWriter, Readable
from wherry.snapshot.view import View


def is_archive(files: Files, path: str) -> bool:
    """Whether the file begins with a tar's header, under whichever compression."""
    with _opened(files, path) as file:
        try:
            return begins_tar(decompressed(file).read(fields.HEADER))
        except Corrupt:
            return False


def unpack(
    files: Files,
    path: str,
    target: str,
    parent: View,
    writer: LayerWriter,
    owner: tuple[int, int] | None,
    mtime: int,
) -> None:
    """Write the archive's entries below `target`, a folder that the layer has already."""
    placed = _Placed(parent, target, mtime)
    with _opened(files, path) as file:
        for entry, content in read_layer(decompressed(file), limits()):
            _refuse_whiteout(entry, path)
            if not entry.path:
                continue
            place = placed.path(entry)
            for folder in placed.missing(posixpath.dirname(place)):
                writer.add(folder)
            placed.enter(place, entry)
            uid, gid = owner or (entry.uid, entry.gid)
            link = placed.linked(entry.link) if entry.kind == HARDLINK else entry.link
            moved = entry._replace(path=place, uid=uid, gid=gid, link=link, offset=-1)
            writer.add(moved, _readable(content) if entry.kind == FILE else None)


def _opened(files: Files, path: str) -> BinaryIO:
    with files.open(path) as content:
        if isinstance(content, int):
            return cast(BinaryIO, open(os.dup(content), "rb", buffering=0))
    raise WherryError(f"{path!r} cannot be unpacked: only files of the build context can")


def _readable(content: Content) -> Readable:
    return content


def _refuse_whiteout(entry: Entry, archive: str) -> None:
    """A layer has no way to hold a file of such a name: it would remove what is below it."""
    if entry.kind in (WHITEOUT, OPAQUE):
        raise WherryError(
            f"the archive {archive!r} has a whiteout for {entry.path!r}, so it is an image's layer",
            hint="use the image as a stage with FROM instead of ADD",
        )


class _Placed:
    """Where entries land. Links that the parent has on the way are followed; the archive's own are not."""

    def __init__(self, parent: View, target: str, mtime: int) -> None:
        self._parent = parent
        self._target = target
        self._mtime = mtime
        self._kinds: dict[str, str] = {}

    def path(self, entry: Entry) -> str:
        return self.linked(entry.path)

    def linked(self, path: str) -> str:
        """The place of a name of the archive."""
        folder, name = posixpath.split(path)
        return posixpath.join(self._folder(folder), name)

    def missing(self, folder: str) -> Iterator[Entry]:
        """Entries for the folders on the way that neither the archive nor the layer has named yet."""
        for entry in folders_to(self._parent, folder, 0, 0, self._mtime):
            below_target = not self._target or entry.path.startswith(self._target + "/")
            if below_target and entry.path not in self._kinds:
                self._kinds[entry.path] = DIRECTORY
                yield entry

    def enter(self, place: str, entry: Entry) -> None:
        self._kinds[place] = entry.kind

    def _folder(self, path: str) -> str:
        current = self._target
        for part in filter(None, path.split("/")):
            current = posixpath.join(current, part)
            kind = self._kinds.get(current)
            if kind == SYMLINK:
                raise Corrupt(f"an archive has {path!r} below a symbolic link of its own")
            if kind is None:
                current = self._parent.resolve(current)
        return current
