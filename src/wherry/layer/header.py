"""Tar headers as bytes: what POSIX calls ustar, with pax records where ustar cannot say it.

Layout and rules: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". Names are written
as the bytes they are: every reader of layers takes them so, whatever their encoding.
"""

from __future__ import annotations

from zlib import adler32

from wherry.base.errors import Unsupported
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
from wherry.layer.whiteout import tar_name

SIZE = 512
"""Bytes of a header; content is padded to a multiple of it."""
END = bytes(2 * SIZE)
"""Two empty blocks end an archive."""

_FLAGS = {
    FILE: b"0",
    HARDLINK: b"1",
    SYMLINK: b"2",
    CHARACTER: b"3",
    BLOCK: b"4",
    DIRECTORY: b"5",
    FIFO: b"6",
    WHITEOUT: b"0",
    OPAQUE: b"0",
}
_MAX_7 = 0o7777777
_MAX_11 = 0o77777777777
_SECOND = 1_000_000_000

_MAGIC = b"ustar\00000" + bytes(64)  # owner names are left empty: they would depend on the host
_PLAIN_TAIL = bytes(100) + _MAGIC + b"0000000\0" * 2 + bytes(155 + 12)


def header(entry: Entry, *, in_layer: bool = True) -> bytes:
    """The header of `entry`: one block, or pax blocks and then one block. `in_layer`: names that mean removed
    files there are refused."""
    name, flag = tar_name(entry, in_layer=in_layer), _FLAGS[entry.kind]
    seconds, fraction = divmod(entry.mtime, _SECOND)
    fits = (
        len(name) <= 100
        and not fraction
        and not entry.xattrs
        and not entry.link
        and entry.size <= _MAX_11
        and 0 <= seconds <= _MAX_11
        and entry.uid <= _MAX_7
        and entry.gid <= _MAX_7
        and entry.device == (0, 0)
    )
    if fits:
        return _block(name, entry.mode, entry.uid, entry.gid, entry.size, seconds, flag, _PLAIN_TAIL)
    return _long(entry, name, flag)


def _long(entry: Entry, name: bytes, flag: bytes) -> bytes:
    """As `header`, for all that is not in its short way."""
    records: list[tuple[bytes, bytes]] = []
    prefix = b""
    if len(name) > 100:
        cut = _split(name)
        if cut < 0:
            records.append((b"path", name))
            name = name[:100]
        else:
            prefix, name = name[:cut], name[cut + 1 :]
    link = entry.link.encode("utf-8", "surrogateescape")
    if len(link) > 100:
        records.append((b"linkpath", link))
        link = link[:100]
    uid, gid, size = entry.uid, entry.gid, entry.size
    if uid > _MAX_7:
        records.append((b"uid", b"%d" % uid))
        uid = 0
    if gid > _MAX_7:
        records.append((b"gid", b"%d" % gid))
        gid = 0
    if size > _MAX_11:
        records.append((b"size", b"%d" % size))
        size = 0
    seconds, fraction = divmod(entry.mtime, _SECOND)
    if fraction or not 0 <= seconds <= _MAX_11:
        records.append((b"mtime", _decimal(entry.mtime)))
        seconds = min(max(seconds, 0), _MAX_11)
    for key, value in entry.xattrs:
        if "=" in key:
            raise Unsupported(f"{entry.path}: tar cannot name the extended attribute {key!r}")
        records.append((b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape"), value))
    devices = b"%07o\0%07o\0" % entry.device
    tail = link.ljust(100, b"\0") + _MAGIC + devices + prefix.ljust(167, b"\0")
    block = _block(name, entry.mode, uid, gid, size, seconds, flag, tail)
    return _pax(records) + block if records else block


def _block(
    name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int, flag: bytes, tail: bytes
) -> bytes:
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, seconds)
    return b"%s%06o\0 %s%s" % (head, checksum(b"%s        %s%s" % (head, flag, tail)), flag, tail)


def checksum(block: bytes) -> int:
    """The sum of a header's 512 bytes, its own field counted as spaces.

    Adler-32's lower half is one more than the sum modulo 65,521, which 512 ASCII bytes never reach; it takes
    a twentieth of the time of `sum`.
    """
    return (adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)


def _split(name: bytes) -> int:
    """The slash at which `name` goes into ustar's prefix (155 bytes) and name (100 bytes), or -1."""
    cut = name.find(b"/", max(len(name) - 101, 1))
    return cut if 0 < cut <= 155 and cut < len(name) - 1 else -1


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    block = _block(b"././@PaxHeader", 0o644, 0, 0, len(body), 0, b"x", _PLAIN_TAIL)
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), _SECOND)
    return (b"%s%d.%09d" % (sign, seconds, fraction)).rstrip(b"0").rstrip(b".")


_PADDING = bytes(SIZE)


def padding(size: int) -> bytes:
    """The zeros that follow `size` bytes of content."""
    return _PADDING[: -size % SIZE]
