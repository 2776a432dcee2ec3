"""COPY, and ADD of local files: from a tree of files straight into a layer, in one pass.

Where the files land depends on the parent: its links are followed, and a target that is a folder there
takes files by their names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.filedigests import now
from wherry.build.files import Files, Trees
from wherry.build.gather import Gathered, Item, refuse_clash, refuse_two
from wherry.build.operations.place import folders_to, owner_ids
from wherry.build.operations.unpack import is_archive, unpack
from wherry.build.step import Copy
from wherry.build.times import SECOND, Times
from wherry.dockerfile import modes
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.layers import Layers
from wherry.layer.splice import Damaged, Earlier
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot import pyc
from wherry.snapshot.view import View


class Copied(NamedTuple):
    layer: Layer | None
    """None where there was nothing to copy."""
    gathered: Gathered
    """As it was read: with every digest."""
    is_foreign: bool = False
    """Whether the layer has parts that a stranger wrote."""


def execute(
    operation: Copy,
    gathered: Gathered,
    trees: Trees,
    parent: View,
    layers: Layers,
    times: Times,
    earlier: Digest | None = None,
) -> Copied:
    """The layer of the copied files on `parent`.

    `earlier` is a layer that this function made of the same operation: what is the same in it is taken from
    there. The new layer does not depend on it.
    """
    if gathered.nothing:
        return Copied(None, gathered)
    archives = _archives(operation, gathered, trees)
    placement = _Placement(operation, gathered, parent, times, bool(archives))
    if not gathered.items and parent.exists(operation.target):
        return Copied(None, gathered)
    if archives:
        return _unpacked(archives, placement, gathered, trees, layers)
    copying = _Copying(placement, gathered, trees)
    if earlier is not None and (old := layers.earlier(earlier)):
        try:
            with closing(old):
                return copying.copied(layers.add_tar(partial(copying.write_from, old), near=earlier))
        except Damaged:
            copying = _Copying(placement, gathered, trees)
    return copying.copied(layers.add_tar(copying.write))


def _unpacked(
    archives: list[Item], placement: _Placement, gathered: Gathered, trees: Trees, layers: Layers
) -> Copied:
    """ADD where some of the files are archives."""
    copying = _Copying(placement, gathered, trees, archives)

    def write(writer: LayerWriter) -> None:
        for folder in placement.folders:
            writer.add(folder)
        for item in archives:
            files = trees.of(item.origin)
            parent, mtime = placement.parent, placement.mtime
            unpack(files, item.entry.path, placement.target, parent, writer, placement.owner, mtime)
            _check_unchanged(item, files)
        copying.write_files(writer)

    return copying.copied(layers.add_tar(write, foreign=True))._replace(is_foreign=True)


class _Copying:
    """The entries of a COPY's layer, and what is read for them."""

    def __init__(
        self, placement: _Placement, gathered: Gathered, trees: Trees, archives: Sequence[Item] = ()
    ) -> None:
        self._trees = trees
        self._gathered = gathered
        self._folders = placement.folders
        self._items = placement.targets(archives)
        self._placement = placement
        self._read: dict[tuple[str, str, str], bytes] = {}
        """Digests that reading found to be others than were known, by `_identity`."""
        self._shared: dict[str, Entry] = {}
        """Of files with several names in the source, the first copy."""

    def write(self, writer: LayerWriter) -> None:
        for folder in self._folders:
            writer.add(folder)
        self.write_files(writer)

    def write_files(self, writer: LayerWriter) -> None:
        for path, item in self._items:
            self._write_one(writer, item, self._placement.entry(path, item))

    def write_from(self, earlier: Earlier, writer: LayerWriter) -> None:
        """As `write`, with all that the earlier layer has as it is to be."""
        entries = [*self._folders, *(self._placement.entry(path, item) for path, item in self._items)]
        place = 0
        for run in earlier.runs(entries):
            self._write_between(writer, entries, place, run.new)
            writer.splice(earlier.entries(run), earlier.blocks(run.begin, run.end), run.begin)
            place = run.new + run.length
        self._write_between(writer, entries, place, len(entries))
        earlier.verify()

    def copied(self, layer: Layer) -> Copied:
        if not self._read:
            return Copied(layer, self._gathered)
        items = tuple(map(self._as_read, self._gathered.items))
        return Copied(layer, self._gathered._replace(items=items))

    def _write_between(self, writer: LayerWriter, entries: list[Entry], begin: int, end: int) -> None:
        """Those of the `entries`, the folders first, from `begin` to `end`."""
        for place in range(begin, end):
            if place < len(self._folders):
                writer.add(entries[place])
            else:
                self._write_one(writer, self._items[place - len(self._folders)][1], entries[place])

    def _write_one(self, writer: LayerWriter, item: Item, entry: Entry) -> None:
        if entry.kind != FILE:
            writer.add(entry)
            return
        if item.entry.link:
            first = self._shared.setdefault(item.entry.link, entry)
            if first is not entry and first[2:6] == entry[2:6]:
                writer.add(Entry(entry.path, HARDLINK, *entry[2:6], link=first.path))
                return
        digest = _add_file(writer, entry, item, self._trees.of(item.origin)).digest
        if digest != item.entry.digest:
            self._read[_identity(item)] = digest

    def _as_read(self, item: Item) -> Item:
        digest = self._read.get(_identity(item))
        return item if digest is None else item._replace(entry=item.entry._replace(digest=digest))


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

    def __init__(
        self, operation: Copy, gathered: Gathered, parent: View, times: Times, unpacks: bool
    ) -> None:
        self._operation = operation
        self.parent = parent
        self._times = times
        self.mtime = times.fixed
        """Nanoseconds: of what has no time of its own."""
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
        self.folders = folders_to(parent, above, uid, gid, self.mtime)

    def targets(self, archives: Sequence[Item]) -> list[tuple[str, Item]]:
        """All but the archives. Sorted, so parents come before what is in them."""
        paths: dict[str, Item] = {}
        prefix = f"{self.target}/" if self.target else ""
        for item in self._gathered.items:
            if item in archives:
                continue
            path = prefix + item.name if self._is_folder and item.name else self.target
            is_free = path != self.target and self._is_bare(path.rpartition("/")[0])
            if not is_free and (found := self.parent.lookup(path)):
                refuse_clash(f"/{path}", found.entry, item.entry)
            if path in paths:
                refuse_two(paths[path], item)
            paths[path] = item
        return sorted(paths.items())

    def _is_bare(self, folder: str) -> bool:
        """Whether the parent has nothing in the folder: then no name in it needs to be looked up."""
        if folder not in self._bare:
            above = bool(folder) and folder != self.target and self._is_bare(posixpath.dirname(folder))
            self._bare[folder] = above or not self.parent.children(folder)
        return self._bare[folder]

    def entry(self, path: str, item: Item) -> Entry:
        """Of a file with the digest that is known of it: its content is yet to be had."""
        source = item.entry
        uid, gid = self.owner or (source.uid, source.gid)
        mode = source.mode
        if self._mode is not None and source.kind != SYMLINK:
            mode = self._mode.apply(mode, folder=source.kind == DIRECTORY)
        mtime = self.mtime
        if self._times.keeps:
            mtime = item.mtime(self._times)
        elif path.endswith(".py"):
            mtime = self._time_of(path)
        link = "" if source.kind == FILE else source.link
        face = (path, source.kind, mode, uid, gid, mtime, source.size, link)
        return Entry(*face, source.device, source.xattrs, source.digest, -1)

    def _time_of(self, path: str) -> int:
        """A Python source must not get the time that bytecode in the parent records: Python would take the
        bytecode, which is another version's, for the new source's."""
        mtime = self.mtime
        if path != self.target and self._is_bare(path.rpartition("/")[0]):
            return mtime
        recorded = pyc.recorded_times(self.parent, path)
        while mtime // SECOND & 0xFFFF_FFFF in recorded:
            mtime += SECOND
        return mtime
