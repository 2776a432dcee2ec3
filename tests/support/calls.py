"""System calls made for real: a program of a few machine words that makes them and tells their errors.

For x86-64: what it does is written as bytes, so that no compiler is needed and nothing else is called.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

_BASE = 0x400000
_HEADERS = 64 + 56


class Call(NamedTuple):
    number: int
    arguments: tuple[int, ...] = ()


def program(calls: Sequence[Call]) -> bytes:
    """An ELF executable that makes the calls and writes a byte for each: its errno, or 0 for a success."""
    code = b""
    results = _BASE + _HEADERS + len(calls) * _LENGTH + len(_ending(0, 0))
    for place, call in enumerate(calls):
        code += _one(call, results + place)
    code += _ending(results, len(calls))
    size = _HEADERS + len(code) + len(calls)
    header = struct.pack(
        "=16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("=IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code + bytes(len(calls))


def _one(call: Call, result: int) -> bytes:
    arguments = [*call.arguments, 0, 0, 0, 0][:4]
    load = b"\x48\xc7\xc0" + struct.pack("=I", call.number)  # rax; then rdi, rsi, rdx, r10
    for code, value in zip((b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba"), arguments, strict=True):
        load += code + struct.pack("=Q", value & 2**64 - 1)
    # syscall; neg eax; jns +2; xor eax, eax (a success); mov [result], al
    return load + b"\x0f\x05\xf7\xd8\x79\x02\x31\xc0\x88\x04\x25" + struct.pack("=I", result)


def _ending(results: int, count: int) -> bytes:
    write = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\xbe" + struct.pack("=Q", results)
    return write + b"\xba" + struct.pack("=I", count) + b"\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05"


_LENGTH = len(_one(Call(0), 0))
