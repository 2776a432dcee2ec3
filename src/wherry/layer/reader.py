"""Reads a layer's tar stream from anybody: ustar, pax, GNU's long names and sparse files, base-256.

Nothing in it is believed: sizes, names, times and record lengths are checked before they are used, and
`Limits` bounds what an archive may make us hold or write. Entries come as they stand in the stream; what they
add up to is `tree.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator

from wherry.base.errors import Corrupt, Unsupported
from wherry.layer import fields, owners, sparse
from wherry.layer.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)
from wherry.layer.fields import Header
from wherry.layer.header import SIZE
from wherry.layer.pipe import BLOCK as CHUNK
from wherry.layer.source import Content, Limits, Source, too_many
from wherry.layer.whiteout import PREFIX, meaning
from wherry.layer.writer import Readable

_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": CHARACTER,
    b"4": BLOCK,
    b"5": DIRECTORY,
    b"6": FIFO,
}
_SKIPPED = b"VD"  # GNU's volume label; GNU's list of names in an incremental backup's folder
_XATTR = b"SCHILY.xattr."
_OWN = ("trusted.overlay.", "user.overlay.", owners.PREFIX)
_MAX_PATH = 4095
_MAX_NAME = 255
_MAX_LINK = 4095
_MAX_COMMON = 64 << 10
"""Bytes of all global headers: they are part of every entry."""
_ENDS = bytes(SIZE)


def begins_tar(start: bytes) -> bool:
    """Whether the first 512 bytes of something uncompressed are a tar's header."""
    try:
        return len(start) >= SIZE and bool(fields.parse(start[:SIZE]).name)
    except Corrupt:
        return False


def read_layer(
    stream: Readable, limits: Limits | None = None, *, whiteouts: bool = True
) -> Iterator[tuple[Entry, Content]]:
    """The entries of an uncompressed tar `stream`, with content for regular files (empty for the rest).

    Paths are relative to the root and normal; whiteouts have their own kinds; overlay's attributes are left
    out. Names may come twice, and parents not at all. A regular file's `offset` is set where its
    content lies in one piece, its `digest` is not. Corrupt for what is no tar or breaks a limit.

    Without `whiteouts` it is an archive like any other: entries are what their headers say.
    """
    return read_source(Source(lambda: stream.read(CHUNK)), limits or Limits(), whiteouts=whiteouts)


def read_source(source: Source, limits: Limits, *, whiteouts: bool = True) -> Iterator[tuple[Entry, Content]]:
    reader = _Reader(source, limits, whiteouts=whiteouts)
    while found := reader.next():
        entry, content = found
        yield entry, content
        content.skip()
        source.skip(-content.stored % SIZE)


class _Extended:
    """What the headers before an entry said about it."""

    def __init__(self, common: dict[bytes, bytes]) -> None:
        self.pax = dict(common)
        self.records: list[tuple[bytes, bytes]] = []
        self.name: bytes | None = None
        self.link: bytes | None = None


class _Reader:
    def __init__(self, source: Source, limits: Limits, *, whiteouts: bool) -> None:
        self._source = source
        self._limits = limits
        self._whiteouts = whiteouts
        self._common: dict[bytes, bytes] = {}
        """The records of global pax headers."""
        self._size = 0
        self._entries = 0
        self._names = 0

    def next(self) -> tuple[Entry, Content] | None:
        """The next entry that means something; None at the end of the archive."""
        extended = _Extended(self._common)
        while True:
            block = self._source.some(SIZE)
            if not block:
                return None  # the two empty blocks at the end are often missing; what follows is not
            if len(block) < SIZE:
                block += self._source.take(SIZE - len(block))
            if block == _ENDS:
                return None
            header = fields.parse(block)
            if header.flag in b"xXgLK":
                self._extend(header, extended)
                continue
            found = self._entry(header, extended)
            if found:
                return found
            extended = _Extended(self._common)

    def _extend(self, header: Header, extended: _Extended) -> None:
        size = fields.number(header.size, "size")
        if not 0 <= size <= self._limits.header:
            raise Corrupt(f"a tar's extended header has {size} bytes: at most {self._limits.header} are read")
        self._count()
        data = self._source.take(size)
        self._source.skip(-size % SIZE)
        if header.flag == b"L":
            extended.name = data.split(b"\0", 1)[0]
        elif header.flag == b"K":
            extended.link = data.split(b"\0", 1)[0]
        elif header.flag == b"g":
            self._common.update(fields.pax_records(data))
            extended.pax = self._common | dict(extended.records)
            if sum(len(key) + len(value) for key, value in self._common.items()) > _MAX_COMMON:
                raise Corrupt("a tar's global headers are too large")
        else:
            extended.records = fields.pax_records(data)
            for key, value in extended.records:
                if value or key.startswith(_XATTR):
                    extended.pax[key] = value
                else:
                    extended.pax.pop(key, None)  # "the header block's value is used"

    def _entry(self, header: Header, extended: _Extended) -> tuple[Entry, Content] | None:
        """The entry and its content; None for those that say nothing about the tree."""
        pax = extended.pax
        size = _size(header, pax)
        if header.flag in _SKIPPED:
            self._count(size)
            self._source.skip(size + -size % SIZE)
            return None
        kind = _KINDS.get(header.flag)
        if kind is None:
            raise Unsupported(
                f"a tar archive has an entry of the tar type {header.flag!r}, which nobody can unpack"
            )
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or extended.name or header.name
        if kind == FILE and name.endswith(b"/") and header.flag in b"0\0":
            kind = DIRECTORY  # as before ustar had a type for them
        if kind != FILE:
            size = 0  # the field is used otherwise by some writers; there is no content behind it
        path = normal(name)
        if not path and kind != DIRECTORY:
            raise Corrupt(f"a tar archive has an entry without a name: {_shown(name)}")
        regions: sparse.Regions | None = None
        real = size
        if kind == FILE and (pax or header.flag == b"S") and sparse.is_sparse(header, pax):
            regions, real, size = sparse.regions(header, pax, extended.records, size, self._source)
        link = pax.get(b"linkpath", extended.link if extended.link is not None else header.link)
        xattrs = _xattrs(pax) if pax else ()
        self._count(real, len(name) + len(link) + sum(len(key) + len(value) for key, value in xattrs))
        entry = Entry(
            path,
            kind,
            fields.number(header.mode, "mode") & 0o7777,
            _identity(header.uid, pax.get(b"uid"), "uid"),
            _identity(header.gid, pax.get(b"gid"), "gid"),
            fields.nanoseconds(pax[b"mtime"]) if b"mtime" in pax else fields.seconds(header.mtime),
            real,
            _link(kind, link, path),
            _device(header) if kind in (CHARACTER, BLOCK) else (0, 0),
            xattrs,
            b"",
            self._source.position if kind == FILE and regions is None else -1,
        )
        content = Content(self._source, real, regions)
        if self._whiteouts:
            entry = _as_whiteout(entry)
        if not entry.kind:
            content.skip()
            self._source.skip(-size % SIZE)
            return None
        return entry, content

    def _count(self, size: int = 0, names: int = 0) -> None:
        self._entries += 1
        self._size += size
        self._names += names
        if self._entries > self._limits.entries or self._names > self._limits.names:
            raise too_many(self._limits)
        if self._size > self._limits.size:
            raise Corrupt(
                f"a tar archive has more than {self._limits.size} bytes of content",
                hint="if you trust it, set WHERRY_MAX_LAYER_SIZE (bytes, or with K, M, G, T)",
            )


def normal(name: bytes) -> str:
    """A name of an archive as a path of an entry: `./x`, `/x`, `x/` and `a//b` are `x`, `x`, `x`, `a/b`.

    Corrupt where it has `..` or what no file system could hold.
    """
    if name.startswith(b"./"):
        name = name[2:]
    if b"//" in name or b"/." in name or name[:1] in (b".", b"/"):
        name = b"/".join([part for part in name.split(b"/") if part not in (b"", b".")])
    else:
        name = name.rstrip(b"/")
    if b".." in name and b".." in name.split(b"/"):
        raise Corrupt(f"a tar archive has a path with '..': {_shown(name)}")
    if b"\0" in name:
        raise Corrupt(f"a tar archive has a path with a NUL byte: {_shown(name)}")
    if len(name) > _MAX_NAME and _is_too_long(name):
        raise Corrupt(f"a tar archive has a path that is too long: {_shown(name)}")
    return name.decode("utf-8", "surrogateescape")


def _is_too_long(name: bytes) -> bool:
    """A whiteout is no file: the name behind its `.wh.` may be as long as any."""
    *folders, last = name.split(b"/")
    prefix = len(PREFIX) if last.startswith(PREFIX.encode()) else 0
    longest = max(len(last) - prefix, *map(len, folders), 0)
    return len(name) - prefix > _MAX_PATH or longest > _MAX_NAME


def _shown(name: bytes) -> str:
    text = repr(name.decode("utf-8", "replace"))
    return text if len(text) < 120 else text[:116] + "...'"


def _size(header: Header, pax: dict[bytes, bytes]) -> int:
    size = fields.decimal(pax[b"size"], "size") if b"size" in pax else fields.number(header.size, "size")
    if not 0 <= size < 1 << 63:
        raise Corrupt(f"a tar entry has a size of {size} bytes: {_shown(header.name)}")
    return size


def _identity(field: bytes, record: bytes | None, what: str) -> int:
    value = fields.decimal(record, what) if record is not None else fields.number(field, what)
    if not 0 <= value < (1 << 32) - 1:
        raise Corrupt(f"a tar entry has a {what} of {value}")
    return value


def _link(kind: str, link: bytes, path: str) -> str:
    if kind == HARDLINK:
        return normal(link)
    if kind != SYMLINK:
        return ""
    if not link or b"\0" in link or len(link) > _MAX_LINK:
        raise Corrupt(f"a tar archive has a symlink with no usable target: {path!r}")
    return link.decode("utf-8", "surrogateescape")


def _device(header: Header) -> tuple[int, int]:
    major, minor = fields.number(header.major, "device"), fields.number(header.minor, "device")
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise Corrupt(f"a tar archive has a device with the impossible number {major}:{minor}")
    return major, minor


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    """Extended attributes, but for overlay's: an image must not tell the kernel how to merge its layers."""
    found = []
    for key, value in pax.items():
        if key.startswith(_XATTR):
            name = key[len(_XATTR) :].decode("utf-8", "surrogateescape")
            if not name.startswith(_OWN):
                if not name or len(name) > 255 or "\0" in name or len(value) > 65536:
                    raise Corrupt(f"a tar archive has an extended attribute that is too large: {name[:80]!r}")
                found.append((name, value))
    return tuple(sorted(found))


def _as_whiteout(entry: Entry) -> Entry:
    """`entry`, or what it stands for if its name says so; of no kind where it is to be skipped."""
    if entry.kind == CHARACTER and entry.device == (0, 0):
        # overlay's own whiteout: archives made from an upper folder have it, and it would act as one
        return Entry(entry.path, WHITEOUT, mtime=entry.mtime)
    if ".wh." not in entry.path:
        return entry
    found = meaning(entry.path)
    if found is None:
        return entry
    kind, path = found
    if kind in (WHITEOUT, OPAQUE):
        return Entry(path, kind, mtime=entry.mtime)
    return entry._replace(kind="")
