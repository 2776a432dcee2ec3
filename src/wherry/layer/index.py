"""A layer's index on disk: its entries, so that nobody needs the tar stream to know what is in it.

The file is one msgpack array, `Columns`, and the CRC-32 of those bytes, 4 bytes little-endian. Entries are
kept by column: 50,000 of them are read in about 50 ms. Paths and links are bytes, joined by NUL, which no
path has.
"""

from __future__ import annotations

import os
from itertools import repeat
from zlib import crc32

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.layer.entry import FILE, Entry
from wherry.layer.writer import Layer
from wherry.oci import digest as digests

VERSION = 1


class Columns(NamedTuple):
    version: int
    diff_id: str
    size: int
    paths: bytes
    kinds: str
    modes: list[int]
    uids: list[int]
    gids: list[int]
    mtimes: list[int]
    sizes: list[int]
    """Of regular files alone, as `offsets` and `contents`."""
    offsets: list[int]
    contents: bytes
    """Digests, 32 bytes each; zeros where one is not known."""
    links: dict[int, bytes]
    """By the entry's number, as `devices` and `xattrs`."""
    devices: dict[int, tuple[int, int]]
    xattrs: dict[int, list[tuple[bytes, bytes]]]
    implied: bytes = b""
    """Paths, as `paths`. Indexes that earlier versions wrote have none."""


_UNKNOWN = bytes(32)


def write_index(path: str, layer: Layer) -> None:
    """Writes `layer` to the new file `path`, synced: the index of a RUN layer is the one thing that says what
    its tree must hold, and cannot be made again. The caller renames it into place.
    """
    data = encode(layer)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fdatasync(fd)


def read_index(path: str) -> Layer:
    """The layer in `path`; Corrupt where it is damaged, FileNotFoundError where there is none."""
    with open(path, "rb", buffering=0) as file:
        data = file.readall()
    try:
        return decode(data)
    except Corrupt as error:
        raise Corrupt(f"{path}: {error.message}") from None


def encode(layer: Layer) -> bytes:
    import msgspec

    entries = layer.entries
    files = [entry for entry in entries if entry.kind == FILE]
    columns = Columns(
        version=VERSION,
        diff_id=layer.diff_id,
        size=layer.size,
        paths="\0".join([entry.path for entry in entries]).encode("utf-8", "surrogateescape"),
        kinds="".join([entry.kind for entry in entries]),
        modes=[entry.mode for entry in entries],
        uids=[entry.uid for entry in entries],
        gids=[entry.gid for entry in entries],
        mtimes=[entry.mtime for entry in entries],
        sizes=[entry.size for entry in files],
        offsets=[entry.offset for entry in files],
        contents=b"".join([entry.digest or _UNKNOWN for entry in files]),
        links={at: os.fsencode(entry.link) for at, entry in enumerate(entries) if entry.link},
        devices={at: entry.device for at, entry in enumerate(entries) if entry.device != (0, 0)},
        xattrs={
            at: [(os.fsencode(name), value) for name, value in entry.xattrs]
            for at, entry in enumerate(entries)
            if entry.xattrs
        },
        implied="\0".join(layer.implied).encode("utf-8", "surrogateescape"),
    )
    data = msgspec.msgpack.encode(columns)
    return data + crc32(data).to_bytes(4, "little")


def decode(data: bytes) -> Layer:
    import msgspec

    if len(data) < 4 or crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Corrupt("a layer's index is damaged")
    try:
        columns = msgspec.msgpack.decode(data[:-4], type=Columns)
    except msgspec.DecodeError as error:
        raise Corrupt(f"not a layer's index: {error}") from None
    if columns.version != VERSION:
        raise Corrupt(f"a layer's index of version {columns.version}, where {VERSION} is known")
    implied = columns.implied.decode("utf-8", "surrogateescape").split("\0") if columns.implied else ()
    return Layer(digests.parse(columns.diff_id), columns.size, tuple(_entries(columns)), tuple(implied))


def _entries(columns: Columns) -> list[Entry]:
    count = len(columns.kinds)
    paths = columns.paths.decode("utf-8", "surrogateescape").split("\0") if count else []
    sizes, offsets, contents = [0] * count, [-1] * count, [b""] * count
    known = columns.contents
    at = columns.kinds.find(FILE)
    for number, (size, offset) in enumerate(zip(columns.sizes, columns.offsets, strict=True)):
        sizes[at], offsets[at] = size, offset
        digest = known[number * 32 : number * 32 + 32]
        contents[at] = digest if digest != _UNKNOWN else b""
        at = columns.kinds.find(FILE, at + 1)
    rows = zip(
        paths,
        columns.kinds,
        columns.modes,
        columns.uids,
        columns.gids,
        columns.mtimes,
        sizes,
        repeat(""),
        repeat((0, 0)),
        repeat(()),
        contents,
        offsets,
        strict=False,
    )
    entries = list(map(Entry._make, rows))
    for at, link in columns.links.items():
        entries[at] = entries[at]._replace(link=os.fsdecode(link))
    for at, device in columns.devices.items():
        entries[at] = entries[at]._replace(device=device)
    for at, pairs in columns.xattrs.items():
        xattrs = tuple((os.fsdecode(name), value) for name, value in pairs)
        entries[at] = entries[at]._replace(xattrs=xattrs)
    return entries
