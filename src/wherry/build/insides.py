"""Where two contents of one file differ, said so that a person finds the cause: a member of an archive, a
time in a header, a line of text; else the first byte.

What is compared comes from a build, so a format that is not as it says is only bytes.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from wherry.base.text import clipped, one_line
from wherry.base.tuples import NamedTuple

_WHOLE = 32 << 20
"""Bytes of a file that is looked into; of a larger one only the first difference is told."""
_BLOCK = 1 << 20
_DEEPEST = 3
_SHOWN = 70
"""Characters of a line of text."""
_WORD = 6
"""So many printable characters are taken for a word."""
_BUILD_ID = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
"""An ELF note of 20 bytes, in little-endian order: sizes of name and content, its type, its name."""


class Inside(NamedTuple):
    """`place` says where; `texts` are the two pieces that differ there, where they can be read."""

    place: str
    texts: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        if self.texts == ("", ""):
            return self.place
        one, other = (clipped(one_line(text), _SHOWN) for text in self.texts)
        return f'{self.place}: "{one}", then "{other}"'


def difference(one: BinaryIO, other: BinaryIO) -> Inside:
    """Where the two differ; they do."""
    a, b = one.read(_WHOLE + 1), other.read(_WHOLE + 1)
    if max(len(a), len(b)) <= _WHOLE:
        return _look(a, b)
    offset = 0
    while a == b:
        offset += len(a)
        a, b = one.read(_BLOCK), other.read(_BLOCK)
    return Inside(_byte(offset + _first(a, b)))


def _look(one: bytes, other: bytes, depth: int = 0) -> Inside:
    if depth < _DEEPEST:
        for matches, look in _FORMATS:
            if matches(one) and matches(other):
                found = look(one, other, depth + 1)
                if found is not None:
                    return found
    return _text(one, other) or _bytes(one, other)


def _gzip(one: bytes, other: bytes, depth: int) -> Inside | None:
    """RFC 1952: the time is four bytes behind the first four."""
    plain = [_inflated(data) for data in (one, other)]
    if None in plain or plain[0] == plain[1]:
        if one[4:8] != other[4:8]:
            return Inside("the time in its gzip header")
        return Inside("its gzip header") if one[:10] != other[:10] else None
    assert plain[0] is not None and plain[1] is not None
    return _within("unpacked, ", _look(plain[0], plain[1], depth))


def _inflated(data: bytes) -> bytes | None:
    inflating = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = inflating.decompress(data, _WHOLE)
    except zlib.error:
        return None
    return plain if inflating.eof else None


def _bytecode(one: bytes, other: bytes, _depth: int) -> Inside | None:
    """PEP 552: magic number, flags, time and size of the source, 4 bytes each."""
    if one[:8] == other[:8] and one[8:12] != other[8:12]:
        return Inside("the time of its source in compiled Python")
    return Inside("compiled Python code")


def _elf(one: bytes, other: bytes, _depth: int) -> Inside | None:
    found = [data.find(_BUILD_ID) + len(_BUILD_ID) for data in (one, other)]
    first = _first(one, other)
    if found[0] != found[1] or found[0] < len(_BUILD_ID):
        return None
    begin, end = found[0], found[0] + 20
    if not begin <= first < end:
        return _within("a program, ", _bytes(one, other))
    if one[end:] == other[end:]:
        return Inside("the build ID of a program, and nothing else")
    return _within("a program: its build ID, and ", _bytes(one, other, end))


class _Member(NamedTuple):
    name: str
    time: str
    content: bytes


def _zip(one: bytes, other: bytes, depth: int) -> Inside | None:
    import zipfile

    def members(data: bytes) -> Iterator[_Member]:
        left = _WHOLE
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                year, month, day, *clock = info.date_time
                time = f"{year}-{month:02}-{day:02} {':'.join(f'{part:02}' for part in clock)}"
                content = archive.read(info) if info.file_size <= left else b""
                left -= len(content)
                yield _Member(info.filename, time, content)

    try:
        return _members(members(one), members(other), depth)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zlib.error):
        return None


def _tar(one: bytes, other: bytes, depth: int) -> Inside | None:
    """Headers of 512 bytes: name, and from 124 on size and time in octal (POSIX, ustar)."""

    def members(data: bytes) -> Iterator[_Member]:
        place = 0
        while place + 512 <= len(data) and data[place]:
            head = data[place : place + 512]
            size = _natural(head[124:136], 8)
            name = os.fsdecode(head[:100].partition(b"\0")[0])
            yield _Member(name, head[136:148].decode("ascii"), data[place + 512 : place + 512 + size])
            place += 512 + (size + 511) // 512 * 512

    try:
        return _members(members(one), members(other), depth)
    except ValueError:
        return None


def _ar(one: bytes, other: bytes, depth: int) -> Inside | None:
    """ar(5): headers of 60 bytes, the name 16, the time 12, from 48 on the size."""

    def members(data: bytes) -> Iterator[_Member]:
        place = 8
        while place + 60 <= len(data):
            head = data[place : place + 60]
            size = _natural(head[48:58], 10)
            name = os.fsdecode(head[:16].strip())
            yield _Member(name, head[16:28].decode("ascii"), data[place + 60 : place + 60 + size])
            place += 60 + size + size % 2

    try:
        return _members(members(one), members(other), depth)
    except ValueError:
        return None


def _natural(digits: bytes, base: int) -> int:
    """ValueError for anything else: with a negative size a walk through an archive would have no end."""
    number = int(digits.strip(b" \0") or b"0", base)
    if number < 0:
        raise ValueError(number)
    return number


def _members(ones: Iterator[_Member], others: Iterator[_Member], depth: int) -> Inside | None:
    """The first difference of two archives; a content goes before a time."""
    old, new = list(ones), list(others)
    if [member.name for member in old] != [member.name for member in new]:
        in_order = sorted(member.name for member in old) == sorted(member.name for member in new)
        return Inside("the order of its members" if in_order else "the list of its members")
    pairs = list(zip(old, new, strict=True))
    for a, b in pairs:
        if a.content != b.content:
            return _within(f"member {a.name}, ", _look(a.content, b.content, depth))
    for a, b in pairs:
        if a.time != b.time:
            return Inside(f"the time of its member {a.name}", (a.time.strip(), b.time.strip()))
    return Inside("the headers of its members") if pairs else None


def _within(place: str, inside: Inside) -> Inside:
    return inside._replace(place=place + inside.place)


def _bytes(one: bytes, other: bytes, begin: int = 0) -> Inside:
    """The first byte from `begin` on, with the words that it stands in, as `strings` would find them."""
    first = begin + _first(one[begin:], other[begin:])
    words = tuple(_word(data, first) for data in (one, other))
    return Inside(_byte(first), (words[0], words[1]) if min(map(len, words)) >= _WORD else ("", ""))


def _word(data: bytes, place: int) -> str:
    """The printable characters around a place."""
    begin = end = place
    while begin > max(0, place - _SHOWN // 2) and 32 <= data[begin - 1] < 127:
        begin -= 1
    while end < min(len(data), place + _SHOWN // 2) and 32 <= data[end] < 127:
        end += 1
    return data[begin:end].decode("ascii")


def _text(one: bytes, other: bytes) -> Inside | None:
    """The first line that differs, where both are text."""
    try:
        lines = [data.decode().splitlines() for data in (one, other)]
    except UnicodeDecodeError:
        return None
    if any("\0" in line for side in lines for line in side[:100]):
        return None
    for number, (a, b) in enumerate(zip(*lines, strict=False), 1):
        if a != b:
            return Inside(f"line {number}", _around(a, b))
    shorter = min(lines, key=len)
    return Inside(f"there is more behind line {len(shorter)}") if lines[0] != lines[1] else None


def _around(one: str, other: str) -> tuple[str, str]:
    """Of long lines what is about the place where they differ."""
    first = _first(one, other)
    begin = max(0, first - _SHOWN // 2) if max(len(one), len(other)) > _SHOWN else 0
    return one[begin:], other[begin:]


def _first(one: bytes | str, other: bytes | str) -> int:
    """The first place where two sequences differ, one of which may only be longer."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _byte(offset: int) -> str:
    return f"from byte {offset:,} on"


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(starts)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, bytes, int], Inside | None]], ...] = (
    (_begins(b"\x1f\x8b\x08"), _gzip),
    (_begins(b"PK\x03\x04"), _zip),
    (_begins(b"!<arch>\n"), _ar),
    (_begins(b"\x7fELF"), _elf),
    (lambda data: data[257:262] == b"ustar", _tar),
    (lambda data: data[2:4] == b"\r\n" and len(data) >= 16, _bytecode),
)
