"""COPY, and ADD of local files: from a tree of files straight into a layer, in one pass.

Where the files land depends on the parent: its links are followed, and a target that is a folder there
takes files by their names.
"""

from __future__ import annotations

import posixpath

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.filedigests import now
from wherry.build.files import Files, Trees
from wherry.build.gather import Gathered, Item, refuse_clash, refuse_two
from wherry.build.operations.place import folders_to, owner_ids
from wherry.build.operations.unpack import is_archive, unpack
from wherry.build.step import Copy
from wherry.dockerfile import modes
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.snapshot import pyc
from wherry.snapshot.view import View

SECOND = 1_000_000_000


class Copied(NamedTuple):
    layer: Layer | None
    """None where there was nothing to copy."""
    gathered: Gathered
    """As it was read: with every digest."""


def execute(
    operation: Copy, gathered: Gathered, trees: Trees, parent: View, layers: Layers, mtime: int
) -> Copied:
    """The layer of the copied files on `parent`; `mtime` in nanoseconds."""
    if gathered.nothing:
        return Copied(None, gathered)
    archives = _archives(operation, gathered, trees)
    placement = _Placement(operation, gathered, parent, mtime, bool(archives))
    if not gathered.items and parent.exists(operation.target):
        return Copied(None, gathered)
    read: dict[tuple[str, str, str], Item] = {}
    shared: dict[str, Entry] = {}

    def write(writer: LayerWriter) -> None:
        for folder in placement.folders:
            writer.add(folder)
        for item in archives:
            files = trees.of(item.origin)
            unpack(files, item.entry.path, placement.target, parent, writer, placement.owner, mtime)
            _check_unchanged(item, files)
        for path, item in placement.targets(archives):
            entry = placement.entry(path, item)
            first = shared.setdefault(item.entry.link, entry) if item.entry.kind == FILE else entry
            if item.entry.link and first is not entry and first[2:6] == entry[2:6]:
                writer.add(Entry(path, HARDLINK, *entry[2:6], link=first.path))
            elif entry.kind == FILE:
                added = _add_file(writer, entry, item, trees.of(item.origin))
                item = item._replace(entry=item.entry._replace(digest=added.digest))
            else:
                writer.add(entry)
            read[_identity(item)] = item

    layer = layers.add_tar(write, foreign=bool(archives))
    items = tuple(read.get(_identity(item), item) for item in gathered.items)
    return Copied(layer, gathered._replace(items=items))


def _identity(item: Item) -> tuple[str, str, str]:
    return (item.name, item.origin, item.entry.path)


def _check_unchanged(item: Item, files: Files) -> None:
    """The record says which archive was unpacked: it must be the one that was."""
    if files.hash_file(item.entry.path) != item.entry.digest:
        raise WherryError(f"{item.entry.path!r} changed while it was read")


def _archives(operation: Copy, gathered: Gathered, trees: Trees) -> list[Item]:
    if not operation.unpack:
        return []
    candidates = (item for item in gathered.items if item.named and item.entry.kind == FILE)
    return [item for item in candidates if is_archive(trees.of(item.origin), item.entry.path)]


def _add_file(writer: LayerWriter, entry: Entry, item: Item, files: Files) -> Entry:
    if item.data is not None:
        return writer.add(entry, item.data)
    path, read_at = item.entry.path, now()
    with files.open(path) as content:
        added = writer.add(entry, content)
        files.learn(path, content, added.digest, read_at)
    return added


class _Placement:
    """Where each item lands on the parent, and as what."""

    def __init__(self, operation: Copy, gathered: Gathered, parent: View, mtime: int, unpacks: bool) -> None:
        self._operation = operation
        self._parent = parent
        self._mtime = mtime
        self._mode = modes.parse(operation.mode) if operation.mode else None
        self.owner = owner_ids(parent, operation.owner) if operation.owner else None
        self._gathered = gathered
        target = parent.resolve(operation.target.strip("/"))
        found = parent.lookup(target)
        self._is_folder = operation.target.endswith("/") or unpacks or not gathered.lone
        if found is not None and found.entry.kind == DIRECTORY:
            self._is_folder = True
        elif found is not None and self._is_folder:
            raise WherryError(f"cannot copy to {operation.target}: it is not a folder in the image")
        self.target = target
        self._bare: dict[str, bool] = {}
        uid, gid = self.owner or (0, 0)
        above = target if self._is_folder else posixpath.dirname(target)
        self.folders = folders_to(parent, above, uid, gid, mtime)

    def targets(self, archives: list[Item]) -> list[tuple[str, Item]]:
        """All but the archives. Sorted, so parents come before what is in them."""
        paths: dict[str, Item] = {}
        for item in self._gathered.items:
            if item in archives:
                continue
            name = item.name if self._is_folder else ""
            path = posixpath.join(self.target, name) if name else self.target
            is_free = path != self.target and self._is_bare(posixpath.dirname(path))
            if not is_free and (found := self._parent.lookup(path)):
                refuse_clash(f"/{path}", found.entry, item.entry)
            if path in paths:
                refuse_two(paths[path], item)
            paths[path] = item
        return sorted(paths.items())

    def _is_bare(self, folder: str) -> bool:
        """Whether the parent has nothing in the folder: then no name in it needs to be looked up."""
        if folder not in self._bare:
            above = bool(folder) and folder != self.target and self._is_bare(posixpath.dirname(folder))
            self._bare[folder] = above or not self._parent.children(folder)
        return self._bare[folder]

    def entry(self, path: str, item: Item) -> Entry:
        source = item.entry
        uid, gid = self.owner or (source.uid, source.gid)
        mode = source.mode
        if self._mode is not None and source.kind != SYMLINK:
            mode = self._mode.apply(mode, folder=source.kind == DIRECTORY)
        mtime = self._time_of(path) if path.endswith(".py") else self._mtime
        link = "" if source.kind == FILE else source.link
        return source._replace(
            path=path, uid=uid, gid=gid, mode=mode, mtime=mtime, link=link, digest=b"", offset=-1
        )

    def _time_of(self, path: str) -> int:
        """A Python source must not get the time that bytecode in the parent records: Python would take the
        bytecode, which is another version's, for the new source's."""
        mtime = self._mtime
        recorded = pyc.recorded_times(self._parent, path)
        while mtime // SECOND & 0xFFFF_FFFF in recorded:
            mtime += SECOND
        return mtime
