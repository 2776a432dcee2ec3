"""The fields of a tar header and the records of pax, read without trust.

ustar and pax: POSIX.1-2017; base-256 numbers and the types L, K and S: GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
from functools import lru_cache

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.layer.header import checksum

_LAYOUT = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_SPACES = b"        "
HEADER = _LAYOUT.size
"""Bytes of a header: 512."""
_SECOND = 1_000_000_000
_MAX_TIME = 1 << 63
"""Nanoseconds: what the system calls and the index can hold (years 1678 to 2262)."""


class Header(NamedTuple):
    """A header as it stands there: numbers are read where they are needed, because pax may replace them."""

    name: bytes
    mode: bytes
    uid: bytes
    gid: bytes
    size: bytes
    mtime: bytes
    flag: bytes
    link: bytes
    gnu: bool
    major: bytes
    minor: bytes
    block: bytes


def parse(block: bytes) -> Header:
    """The header in 512 bytes; Corrupt where its sum is wrong."""
    fields = _LAYOUT.unpack(block)
    name, mode, uid, gid, size, mtime, stored, flag, link, magic, _, _, major, minor, prefix = fields
    counted = b"%s%s%s" % (block[:148], _SPACES, block[156:])
    expected = stored.strip(b" \0").rjust(8, b"0")
    if expected != b"%08o" % checksum(counted) and expected != b"%08o" % _signed_sum(counted):
        raise Corrupt("not a tar archive: a header's checksum is wrong")
    name = _text(name)
    gnu = magic == b"ustar  \0"
    if prefix[0] and not gnu and magic[:5] == b"ustar":
        # GNU keeps times and its sparse map where ustar has the prefix
        name = _text(prefix) + b"/" + name
    return Header(name, mode, uid, gid, size, mtime, flag, _text(link), gnu, major, minor, block)


@lru_cache(1024)
def number(field: bytes, what: str) -> int:
    """An octal or base-256 field. Remembered: modes, owners and times of a layer are few."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        if field[0] == 0xFF:
            return value - (1 << bits)
        return value & ((1 << (bits - 1)) - 1)
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    if text.translate(None, b"01234567"):
        raise Corrupt(f"a tar header's {what} is not a number: {text!r}")
    return int(text, 8)


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _signed_sum(block: bytes) -> int:
    """Some old programs added the bytes up as signed ones."""
    return sum(block) - 256 * sum(byte > 127 for byte in block)


def pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records of an extended header, in order. The older sparse formats repeat their keys."""
    records = []
    at = 0
    while at < len(data):
        if data[at] == 0 and not data[at:].strip(b"\0"):
            break  # some writers count the padding
        space = data.find(b" ", at, at + 20)
        digits = data[at:space]
        if space < 0 or not digits.isdigit():
            raise Corrupt("a pax header's record has no length")
        end = at + int(digits)
        equals = data.find(b"=", space, end)
        if end > len(data) or equals < 0 or data[end - 1] != 0x0A:
            raise Corrupt("a pax header's record is malformed")
        records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
        at = end
    return records


def decimal(text: bytes, what: str) -> int:
    """A whole number of a pax record."""
    if not text.isdigit() or len(text) > 20:
        raise Corrupt(f"a pax header's {what} is not a number: {text[:40]!r}")
    return int(text)


def nanoseconds(text: bytes) -> int:
    """A time of a pax record: seconds with an optional fraction, of which nine digits count."""
    sign = -1 if text[:1] == b"-" else 1
    whole, dot, fraction = text.lstrip(b"-+").partition(b".")
    if not (whole + fraction).isdigit() or len(text) > 100 or (dot and not whole and not fraction):
        raise Corrupt(f"a pax header's time is not a number: {text[:40]!r}")
    return bounded(sign * (int(whole or b"0") * _SECOND + int(fraction[:9].ljust(9, b"0"))))


def seconds(field: bytes) -> int:
    """A header's time in nanoseconds."""
    return bounded(number(field, "mtime") * _SECOND)


def bounded(time: int) -> int:
    """The nearest time that can be kept: some archives have times in the year 9999."""
    return min(max(time, -_MAX_TIME), _MAX_TIME - 1)
