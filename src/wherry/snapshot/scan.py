"""Reads overlay's upper folder, or one that `harvest.py` made: which entries of a layer it amounts to, and
what in it is no change at all.

What counts as a change, against the view of the layers below:
- a file, link or node: if its kind, mode, owner, content, target, device, extended attributes or time (whole
  seconds) differ. Overlay copies a file up when it is opened for writing or when `chown -R` gives it the
  owner it has; such copies are no change, unless another name was linked to them.
- a folder: if its mode, owner or extended attributes differ, or something in it changed. Its time alone is
  no change: whatever was made and removed again in it left a new one.
- a whiteout, if there is something below to hide; an opaque mark, if the folder below has something in it.

Left out: sockets (tar has none, and who listened is gone; what they replaced is removed), overlay's own
extended attributes, and those that are the host's, see `attributes.py`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from wherry.base.tuples import NamedTuple
from wherry.layer import owners
from wherry.layer.entry import (
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
from wherry.layer.forms import OverlayForm
from wherry.layer.owners import Asked
from wherry.layer.status import entry_of, kind_of
from wherry.snapshot import attributes
from wherry.snapshot.ownership import Ownership
from wherry.snapshot.stub import Stub
from wherry.snapshot.told import Told
from wherry.snapshot.view import View

SECOND = 1_000_000_000
_ORIGIN = "user.overlay.origin"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Changes(NamedTuple):
    """An upper folder, sorted out. Times of `entries` are whole seconds, as the layer is to have them."""

    entries: tuple[Entry, ...]
    """Parents first, names sorted; a file with several names is the first of them, the others link to it."""
    surplus: tuple[tuple[str, bool], ...]
    """What is no change: path and whether it is a folder, the content of folders before them."""
    sockets: tuple[str, ...]
    """Those that took the place of something in lower layers, which `entries` says is removed."""
    idle_marks: tuple[str, ...]
    """Folders whose opaque mark hides nothing."""
    clamped: dict[str, int]
    """The time, in seconds, that a file had on disk where the limit gave it another."""
    owners: tuple[tuple[str, bytes], ...]
    """Where the form has no owners of its own: attributes that files and folders lack, or have to lose."""


class _Item(NamedTuple):
    """One name in the upper folder. `entry` has the time as it is on disk; None for a socket."""

    name: str
    entry: Entry | None
    links: int
    inode: int
    opaque: bool
    asked: Asked | None = None
    """The owner that was asked for, where the form has no owners of its own."""
    recorded: bytes = b""
    """The same as it is recorded."""
    is_copy: bool = False
    """Whether it is known for a copy of what lower layers have."""


class _Folder:
    """A folder on the way from the root to where the scan is."""

    def __init__(
        self, path: str, itself: Entry, items: list[_Item], entries: list[Entry], has_lower: bool
    ) -> None:
        self.path = path
        self.itself = itself
        self.items = items
        self.entries = entries
        """Its own, for as long as it is not known whether they are needed."""
        self.has_lower = has_lower
        """Whether a folder of lower layers is to be seen through it."""


def scan(
    folders: Folders,
    lower: View,
    stub: Stub,
    form: OverlayForm | Told,
    clamp: int | None = None,
    ownership: Ownership = Ownership(),  # noqa: B008 - a frozen value
) -> Changes:
    """What the upper folder `folders` changes in `lower` with the `stub` on it; it is only read.

    `clamp`: no time that the step set is later, in seconds since 1970 (SOURCE_DATE_EPOCH). `ownership` says
    who owns what where `form` does not.
    """
    return _Scan(folders, lower, stub, form, clamp, ownership).run()


class _Scan:
    def __init__(
        self,
        folders: Folders,
        lower: View,
        stub: Stub,
        form: OverlayForm | Told,
        clamp: int | None,
        ownership: Ownership,
    ) -> None:
        self._folders = folders
        self._lower = lower
        self._stub = stub
        self._form = form
        self._alike = form.alike if isinstance(form, Told) else set()
        self._has_owners = isinstance(form, Told) or form.has_owners
        self._clamp = clamp
        self._ownership = ownership
        self._owners: list[tuple[str, bytes]] = []
        self._entries: list[Entry] = []
        self._surplus: list[tuple[str, bool]] = []
        self._sockets: list[str] = []
        self._idle_marks: list[str] = []
        self._clamped: dict[str, int] = {}
        self._first_names: dict[int, Entry] = {}
        """By inode: the first name of each file that has several."""
        self._way: list[_Folder] = []
        self._needed = 0
        """So many folders of the way have their entries in the result."""

    def run(self) -> Changes:
        # Not recursive: a path of 4,000 bytes may have 2,000 parts.
        self._start()
        while self._way:
            folder = self._way[-1]
            if folder.items:
                self._take(folder, folder.items.pop())
            else:
                self._leave()
        return Changes(
            tuple(self._entries),
            tuple(self._surplus),
            tuple(self._sockets),
            tuple(self._idle_marks),
            self._clamped,
            tuple(self._owners),
        )

    def _start(self) -> None:
        """The root's entry is left out unless it changed: no layer needs it to hold what is in it."""
        item = self._item(self._folders.open(""), ".", "")
        before = self._lower.lookup("")
        assert before is not None
        entry = self._owned(item, before.entry, None)
        own = [] if same_face(entry, before.entry) else [self._timed(entry, before.entry)]
        self._enter(entry, own, has_lower=True, changed=bool(own))

    def _take(self, folder: _Folder, item: _Item) -> None:
        path = f"{folder.path}/{item.name}" if folder.path else item.name
        found = self._lower.lookup(path) if folder.has_lower else None
        before = found.entry if found else None
        if item.entry is None or item.entry.kind == WHITEOUT:
            self._take_nothing(path, is_socket=item.entry is None, hides=before is not None)
            return
        # a folder or file of the stub may have been copied up too
        before = before or self._stub.get(path)
        first = self._first_names.get(item.inode) if item.links > 1 else None
        if first is not None and item.entry.kind == FILE:
            self._add(first._replace(path=path, kind=HARDLINK, link=first.path, size=0))
            return
        entry = self._owned(item, before, folder.itself)
        is_shared = item.links > 1 and entry.kind == FILE
        if entry.kind == DIRECTORY:
            self._take_folder(entry, before, item.opaque)
        elif (
            before is not None
            and (not is_shared or item.inode in self._alike)
            and self._is_copy(entry, before)
        ):
            self._surplus.append((path, False))
        elif is_shared:
            self._add_shared(entry, item.inode, before)
        else:
            self._add(self._timed(entry, before))

    def _take_nothing(self, path: str, *, is_socket: bool, hides: bool) -> None:
        if not hides:
            self._surplus.append((path, False))
            return
        self._add(Entry(path, WHITEOUT))
        if is_socket:
            self._sockets.append(path)

    def _take_folder(self, entry: Entry, before: Entry | None, opaque: bool) -> None:
        path = entry.path
        merges = before is not None and before.kind == DIRECTORY
        hides = opaque and merges and bool(self._lower.children(path))
        if opaque and not hides:
            self._idle_marks.append(path)
        own = [self._timed(entry, before)]
        if hides:
            own.append(Entry(path, OPAQUE))
        changed = hides or before is None or not merges or not same_face(entry, before)
        self._enter(entry, own, has_lower=merges and not opaque, changed=changed)

    def _enter(self, entry: Entry, own: list[Entry], *, has_lower: bool, changed: bool) -> None:
        path = entry.path
        items = sorted(self._items(self._folders.open(path), path), key=_name, reverse=True)
        self._way.append(_Folder(path, entry, items, own, has_lower))
        if changed:
            self._need_way()

    def _leave(self) -> None:
        folder = self._way.pop()
        if len(self._way) < self._needed:
            self._needed = len(self._way)
        elif folder.path:
            self._surplus.append((folder.path, True))

    def _need_way(self) -> None:
        for folder in self._way[self._needed :]:
            self._entries.extend(folder.entries)
        self._needed = len(self._way)

    def _add(self, entry: Entry) -> None:
        self._need_way()
        self._entries.append(entry)

    def _add_shared(self, entry: Entry, inode: int, before: Entry | None) -> None:
        """The first of a file's several names is the file. Left out as a mere copy only where all of them
        are: the others could not be links to one in a lower layer."""
        self._first_names[inode] = entry = self._timed(entry, before)
        self._add(entry)

    def _timed(self, entry: Entry, before: Entry | None) -> Entry:
        """With the time that the layer gives it: what the step did not touch keeps its own."""
        seconds = entry.mtime // SECOND
        if self._clamp is None or seconds <= self._clamp:
            return entry._replace(mtime=seconds * SECOND)
        limit = self._clamp
        if before is not None:
            if before.mtime // SECOND == seconds:
                limit = seconds
            elif entry.path.endswith(".py"):
                # Lower layers may have bytecode of the old source, which Python takes for that of any
                # source with the time and size that it recorded: so the time must differ from the old one.
                limit = min(limit, before.mtime // SECOND - 1)
        if limit != seconds:
            self._clamped[entry.path] = seconds
        return entry._replace(mtime=limit * SECOND)

    def _is_copy(self, entry: Entry, before: Entry) -> bool:
        """Whether a file, link or node is what lower layers have at its path already."""
        seconds, old_seconds = entry.mtime // SECOND, before.mtime // SECOND
        if seconds != old_seconds and (self._clamp is None or min(seconds, self._clamp) != old_seconds):
            return False
        if (entry.kind, entry.size, entry.link, entry.device) != (
            before.kind,
            before.size,
            before.link,
            before.device,
        ):
            return False
        if not same_face(entry, before):
            return False
        return entry.kind != FILE or self._digest(entry) == before.digest

    def _items(self, folder: int, path: str) -> Iterator[_Item]:
        prefix = f"{path}/" if path else ""
        with os.scandir(folder) as names:
            for found in names:
                yield self._item(folder, found.name, prefix + found.name)
        if isinstance(self._form, Told):
            for name in self._form.removed.get(path, ()):
                yield _Item(name, Entry(prefix + name, WHITEOUT), 1, 0, False)

    def _item(self, folder: int, name: str, path: str) -> _Item:
        item, names = _item(folder, name, path, self._form)
        entry = item.entry
        if self._has_owners or entry is None or entry.kind == WHITEOUT:
            return item
        if entry.kind not in (FILE, DIRECTORY):
            return item._replace(asked=self._ownership.find(folder, name))
        proc = f"/proc/self/fd/{folder}/{name}"
        if owners.DEVICE in names and (found := owners.device(_xattr(proc, owners.DEVICE))):
            kind, device = found
            entry = entry._replace(kind=kind, device=device, size=0)
        recorded = _xattr(proc, owners.OWNER) if owners.OWNER in names else b""
        # The folder of both trees is the same one unless it is opaque.
        is_copy = _ORIGIN in names or (entry.kind == DIRECTORY and not item.opaque)
        return item._replace(entry=entry, asked=owners.asked(recorded), recorded=recorded, is_copy=is_copy)

    def _owned(self, item: _Item, before: Entry | None, folder: Entry | None) -> Entry:
        """The entry with its owner; what has an attribute for it and not the right one is remembered."""
        entry = item.entry
        assert entry is not None
        if self._has_owners:
            return entry
        is_copy = item.is_copy and before is not None and before.kind == entry.kind
        found = self._lower.lookup(entry.path[:-1]) if entry.path.endswith("-") else None
        original = found.entry if found else None
        uid, gid = self._ownership.of(entry, item.asked, is_copy, before, original, folder)
        wanted = owners.encoded(uid, gid)
        if entry.kind in (FILE, DIRECTORY) and wanted != item.recorded:
            self._owners.append((entry.path, wanted))
        return entry._replace(uid=uid, gid=gid)

    def _digest(self, entry: Entry) -> bytes:
        folder, name = self._folders.parent(entry.path)
        with open(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()


def same_face(entry: Entry, before: Entry) -> bool:
    """Mode, owner and extended attributes. A symbolic link has no mode of its own."""
    if entry.mode != before.mode and entry.kind != SYMLINK:
        return False
    if (entry.uid, entry.gid) != (before.uid, before.gid):
        return False
    return entry.xattrs == tuple(pair for pair in before.xattrs if attributes.is_kept(pair[0]))


def _name(item: _Item) -> str:
    return item.name


def _item(folder: int, name: str, path: str, form: OverlayForm | Told) -> tuple[_Item, list[str]]:
    """One name, and the names of its extended attributes."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = kind_of(status)
    if kind is None:
        return _Item(name, None, 1, 0, False), []
    if kind == CHARACTER and status.st_rdev == 0:
        return _Item(name, Entry(path, WHITEOUT), 1, 0, False), []
    # By this name: the calls for extended attributes take no folder's descriptor.
    proc = f"/proc/self/fd/{folder}/{name}"
    names = attributes.names(proc)
    link = os.readlink(name, dir_fd=folder) if kind == SYMLINK else ""
    kept = tuple((key, _xattr(proc, key)) for key in sorted(names) if attributes.is_kept(key))
    entry = entry_of(path, status, link, kept)
    if isinstance(form, Told):
        opaque = path in form.replaced
    else:
        opaque = kind == DIRECTORY and form.opaque in names and _xattr(proc, form.opaque) == b"y"
    return _Item(name, entry, status.st_nlink, status.st_ino, opaque), names


def _xattr(proc: str, name: str) -> bytes:
    return os.getxattr(proc, name, follow_symlinks=False)
