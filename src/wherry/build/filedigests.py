"""Digests of a context's files, remembered by what stat(2) says of them.

A file that has all of its `Stamp` as before is not read again. A change within the clock's last tick could
leave it as it was, so a file is remembered only when its ctime was old enough when it was read.

What is known of a folder's files is one row, their stamps one string of bytes: so 50,000 files are loaded in
2 ms, and a folder without changes is told from one comparison. Files that were looked up by their names
alone, in folders that nobody listed, stand beside the rows.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from operator import attrgetter, itemgetter
from typing import Any

from wherry.base import memory
from wherry.base.tuples import NamedTuple

Stamp = tuple[int, int, int, int, int, int]
"""Mode, device, inode, size, mtime and ctime (both in nanoseconds)."""
MODE, SIZE, MTIME, CTIME = 0, 3, 4, 5

stamp: Callable[[os.stat_result], Stamp] = attrgetter(
    "st_mode", "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"
)

TICK = 50_000_000
"""Nanoseconds: longer than a tick of the clock that any file system of Linux stamps files with."""

SIZE_OF_DIGEST = 32
UNKNOWN = bytes(SIZE_OF_DIGEST)

_SPARE = 1000
"""So many folders that a build has not listed stay remembered, or as many as it has: others may be gone."""
_COPIES = 64
"""So many COPYs of a context are remembered."""


class Listing(NamedTuple):
    """A folder as it is now."""

    path: str
    names: list[str]
    """All that is in it, sorted."""
    looked: list[str]
    """Those that the ignore file does not leave out, or that may have something below that it keeps."""
    stamps: list[Stamp]
    """Of `looked`."""
    raw: bytes
    """The stamps as bytes: equal where they are."""

    @property
    def newest(self) -> int:
        """The latest ctime of what is in it, 0 where that is nothing."""
        return max(map(itemgetter(CTIME), self.stamps), default=0)

    def answer(self) -> bytes:
        """All that COPY can see of the folder and its files, but for the files' contents."""
        names = "\0".join([self.path, *self.looked]).encode("utf-8", "surrogateescape")
        return b"%d\0%s\0%s" % (len(self.looked), names, self.raw)


def packed(stamps: Iterable[Stamp]) -> bytes:
    # Version 2 of the format knows no references: what it writes depends on the values alone.
    return marshal.dumps(list(stamps), 2)


class _Row:
    """What is known of one folder's files."""

    __slots__ = ("digests", "is_current", "listed", "names", "raw")

    def __init__(self, listed: str, names: str, raw: bytes, digests: bytes) -> None:
        self.listed = listed
        """All names, joined by NUL; "" where they are `names`."""
        self.names = names
        self.raw = raw
        self.digests = bytearray(digests)
        self.is_current = False
        """Whether it is of this build."""

    @property
    def looked(self) -> list[str]:
        return self.names.split("\0") if self.names else []

    def digest(self, at: int) -> bytes:
        return bytes(self.digests[at * SIZE_OF_DIGEST : (at + 1) * SIZE_OF_DIGEST])

    def saved(self) -> tuple[str, str, bytes, bytes]:
        return (self.listed, self.names, self.raw, bytes(self.digests))


class _Opened:
    """A row as lists. It takes several times the row's memory, so only the last one is kept."""

    def __init__(self, row: _Row) -> None:
        self.row = row
        self.looked = row.looked
        self.stamps: list[Stamp] = marshal.loads(row.raw)

    def place(self, name: str) -> int:
        at = bisect_left(self.looked, name)
        return at if at < len(self.looked) and self.looked[at] == name else -1


class FileDigests:
    """What is known of one context, loaded on first use and written back by `save`; for several threads."""

    def __init__(self, folder: str, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._path = memory.path(folder, f"context-{name}")
        self._is_loaded = False
        self._changed = False
        self._rows: dict[str, _Row] = {}
        self._files: dict[str, tuple[Stamp, bytes]] = {}
        self._copies: dict[str, Any] = {}
        self._layers: dict[str, str] = {}
        self._opened: _Opened | None = None
        self.ignored: tuple[str, ...] = ()
        """The patterns of the ignore file; to be set before anything is asked."""
        self.is_firm = True
        """Whether every file that was read was what it had been when its folder was listed, and so long
        unchanged that this is sure."""

    def get(self, path: str, current: Stamp) -> bytes:
        """The digest of one file; empty where it is not known."""
        self._load()
        known = self._files.get(path)
        if known is None or known[0] != current:
            known = self._files[path] = (current, self._in_row(path, current))
        return known[1]

    def looked(self, folder: str, names: list[str]) -> list[str] | None:
        """`Listing.looked` of the same `names` under the same ignore file, if it is known."""
        self._load()
        row = self._rows.get(folder)
        if row is None or (row.listed or row.names) != "\0".join(names):
            return None
        return row.looked

    def of(self, listing: Listing) -> bytearray:
        """The digests of what the listing looks at, each `UNKNOWN` or known."""
        self._load()
        listed, names = "\0".join(listing.names), "\0".join(listing.looked)
        row = self._rows.get(listing.path)
        if row is None or (row.listed or row.names, row.names, row.raw) != (listed, names, listing.raw):
            digests = self._carried(listing, row)
            new = _Row("" if listed == names else listed, names, listing.raw, digests)
            row = self._rows[listing.path] = new
            self._changed = True
        row.is_current = True
        return row.digests

    def put(self, path: str, current: Stamp, digest: bytes, read_at: int) -> None:
        """`read_at`: nanoseconds since 1970, taken before the file was opened."""
        if is_settled(current[CTIME], read_at):
            self.put_settled(path, current, digest)
        else:
            self.is_firm = False

    def put_settled(self, path: str, current: Stamp, digest: bytes) -> None:
        """For a file that nobody will change."""
        self._load()
        self._changed = True
        folder, _, name = path.rpartition("/")
        row = self._rows.get(folder)
        opened = self._open(row) if row is not None and row.is_current else None
        at = opened.place(name) if opened is not None else -1
        if opened is not None and at >= 0:
            if opened.stamps[at] == current:
                opened.row.digests[at * SIZE_OF_DIGEST : (at + 1) * SIZE_OF_DIGEST] = digest
            else:
                self.is_firm = False
        known = self._files.get(path)
        if known is not None or at < 0:
            self.is_firm = self.is_firm and (known is None or known[0] == current)
            self._files[path] = (current, digest)

    def copy(self, key: str) -> Any:
        """What `keep_copy` kept; None where it is not of this ignore file."""
        self._load()
        return self._copies.get(key)

    def keep_copy(self, key: str, known: Any) -> None:
        self._load()
        _keep(self._copies, key, known)
        self._changed = True

    def layer(self, key: str) -> str | None:
        """What `keep_layer` kept."""
        self._load()
        return self._layers.get(key)

    def keep_layer(self, key: str, layer: str) -> None:
        self._load()
        _keep(self._layers, key, layer)
        self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        current = {path: row for path, row in self._rows.items() if row.is_current}
        is_stale = len(self._rows) > 2 * len(current) + _SPARE
        rows = {path: row.saved() for path, row in (current if is_stale else self._rows).items()}
        document = {
            "ignored": self.ignored,
            "folders": rows,
            "files": {path: known for path, known in self._files.items() if known[1]},
            "copies": self._copies,
            "layers": self._layers,
        }
        memory.save(self._path, document)
        self._changed = False

    def _carried(self, listing: Listing, row: _Row | None) -> bytes:
        """The digests of the files that are as they were."""
        before = {}
        if row is not None:
            opened = _Opened(row)
            before = {
                name: (known, row.digest(at))
                for at, (name, known) in enumerate(zip(opened.looked, opened.stamps, strict=True))
            }
        prefix = f"{listing.path}/" if listing.path else ""
        digests = []
        for name, current in zip(listing.looked, listing.stamps, strict=True):
            known = before.get(name)
            if known is None or known[0] != current or known[1] == UNKNOWN:
                known = self._files.get(prefix + name) if self._files else None
            digests.append(known[1] if known is not None and known[0] == current and known[1] else UNKNOWN)
        return b"".join(digests)

    def _in_row(self, path: str, current: Stamp) -> bytes:
        folder, _, name = path.rpartition("/")
        row = self._rows.get(folder)
        if row is None:
            return b""
        opened = self._open(row)
        at = opened.place(name)
        if at < 0 or opened.stamps[at] != current:
            return b""
        digest = row.digest(at)
        return digest if digest != UNKNOWN else b""

    def _open(self, row: _Row) -> _Opened:
        """Callers go through a context folder by folder."""
        opened = self._opened
        if opened is None or opened.row is not row:
            opened = self._opened = _Opened(row)
        return opened

    def _load(self) -> None:
        if self._is_loaded:
            return
        found = memory.load(self._path)
        self._files = found.get("files", {})
        self._layers = found.get("layers", {})
        is_same = tuple(found.get("ignored", ())) == self.ignored
        self._copies = found.get("copies", {}) if is_same else {}
        # What was looked at under another ignore file says nothing; its digests do.
        self._rows = {
            path: _Row(listed if is_same else "\0", names, raw, digests)
            for path, (listed, names, raw, digests) in found.get("folders", {}).items()
        }
        self._is_loaded = True


def _keep(kept: dict[str, Any], key: str, value: Any) -> None:
    """The last one; those that nobody has kept for longest go."""
    kept.pop(key, None)
    kept[key] = value
    for surplus in list(kept)[:-_COPIES]:
        del kept[surplus]


def is_settled(changed: int, read_at: int) -> bool:
    """Whether a file that was last changed at `changed` (ctime), and is read from `read_at` on, shows every
    later change. Nanoseconds since 1970."""
    return changed + TICK < read_at


def now() -> int:
    return time.time_ns()
