"""Sparse files: GNU tar's four ways of writing them, and holes in what we write ourselves.

GNU tar's manual, "Storing Sparse Files": the old type S, and pax versions 0.0, 0.1 and 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from wherry.base.errors import Corrupt
from wherry.layer import fields
from wherry.layer.fields import Header
from wherry.layer.header import SIZE

Regions = tuple[tuple[int, int], ...]
"""(offset, length) of the parts of a file that are stored, ascending."""

_PAGE = 4096
_HOLE = bytes(_PAGE)
_ZEROS = bytes(1 << 20)
_MAX_REGIONS = 1 << 20


class _Takes(Protocol):
    def take(self, size: int) -> bytes: ...


def is_sparse(header: Header, pax: dict[bytes, bytes]) -> bool:
    return header.flag == b"S" or any(
        key in pax for key in (b"GNU.sparse.major", b"GNU.sparse.size", b"GNU.sparse.map")
    )


def regions(
    header: Header,
    pax: dict[bytes, bytes],
    records: list[tuple[bytes, bytes]],
    size: int,
    source: _Takes,
) -> tuple[Regions, int, int]:
    """(the stored parts, the file's real size, the bytes of content that follow in the stream)."""
    if header.flag == b"S":
        numbers, real = _old(header, source), fields.number(header.block[483:495], "real size")
    elif pax.get(b"GNU.sparse.major") == b"1":
        numbers, used = _in_content(source, size)
        size -= used
        real = fields.decimal(pax.get(b"GNU.sparse.realsize", b""), "sparse size")
    else:
        if b"GNU.sparse.map" in pax:
            texts = pax[b"GNU.sparse.map"].split(b",")
        else:
            texts = [value for key, value in records if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes")]
        numbers = [fields.decimal(text, "sparse map") for text in texts]
        real = fields.decimal(pax.get(b"GNU.sparse.size", b""), "sparse size")
    found = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    _check(found, len(numbers), real, size)
    return found, real, size


def _check(found: Regions, numbers: int, real: int, stored: int) -> None:
    end = 0
    for offset, length in found:
        if offset < end or length < 0:
            raise Corrupt("a sparse file's parts overlap or are out of order")
        end = offset + length
    if numbers % 2 or end > real or not 0 <= real < 1 << 63 or sum(length for _, length in found) != stored:
        raise Corrupt("a sparse file's map does not fit its size")


def _old(header: Header, source: _Takes) -> list[int]:
    """Four pairs in the header, then blocks of 21 while the flag before their end says so."""
    numbers = _pairs(header.block[386:482])
    more = header.block[482]
    while more:
        block = source.take(SIZE)
        numbers += _pairs(block[:504])
        more = block[504]
        if len(numbers) > 2 * _MAX_REGIONS:
            raise Corrupt("a sparse file has too many parts")
    return numbers


def _pairs(data: bytes) -> list[int]:
    numbers = []
    for at in range(0, len(data), 24):
        if not data[at]:
            break
        numbers += [
            fields.number(data[at + 12 * half : at + 12 * half + 12], "sparse map") for half in (0, 1)
        ]
    return numbers


def _in_content(source: _Takes, size: int) -> tuple[list[int], int]:
    """Version 1.0: the content begins with the map, one decimal number a line, filled up to a block."""
    lines: list[bytes] = []
    rest, used, wanted = b"", 0, 1
    while len(lines) < wanted:
        if used + SIZE > size:
            raise Corrupt("a sparse file's map is cut off")
        *more, rest = (rest + source.take(SIZE)).split(b"\n")
        used += SIZE
        lines += more
        if lines:
            wanted = 1 + 2 * fields.decimal(lines[0], "sparse map")
        if len(lines) < wanted and len(rest) > 20:
            raise Corrupt("a sparse file's map is not made of numbers")
        if wanted > 2 * _MAX_REGIONS:
            raise Corrupt("a sparse file has too many parts")
    return [fields.decimal(line, "sparse map") for line in lines[1:wanted]], used


def zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _ZEROS[:size]
        size -= len(_ZEROS)


def write(descriptor: int, data: bytes, offset: int) -> None:
    """Writes `data` at `offset`, leaving out whole pages of zeros; the caller sets the file's size at the
    end. Only for files that are empty there. Data without a page of zeros costs one search for it.
    """
    if data.find(_HOLE) < 0:
        _write_all(descriptor, data, offset)
        return
    begin, page = 0, -offset % _PAGE
    if not data[:page].strip(b"\0"):
        begin = page  # the end of a page that began in earlier data
    while page < len(data):
        if data.startswith(_HOLE[: len(data) - page], page):
            _write_all(descriptor, data[begin:page], offset + begin)
            begin = page = page + _PAGE
        else:
            page += _PAGE
    _write_all(descriptor, data[begin:], offset + begin)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:] if done else data, offset + done)
