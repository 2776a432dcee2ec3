"""System calls made for real: a program of a few machine words that makes them and tells their errors.

For x86-64: what it does is written as bytes, so that no compiler is needed and nothing else is called.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

_BASE = 0x400000
_HEADERS = 64 + 56
_SPACE = 1 << 16
"""Bytes for what the kernel writes."""


class Result(NamedTuple):
    """What the call with this number in the program's list gave: a descriptor."""

    call: int


class Space(NamedTuple):
    """The address of room for what the kernel writes."""


class Call(NamedTuple):
    """Bytes are given by their address, with a zero behind them. `compatible`: by `int 0x80`, as programs of
    32 bits do."""

    number: int
    arguments: tuple[int | bytes | Result | Space, ...] = ()
    compatible: bool = False


def program(calls: Sequence[Call], loader: bytes = b"") -> bytes:
    """An ELF executable that makes the calls and writes a byte for each: its errno, or 0 for a success.

    With a `loader` it is executed by that instead.
    """
    texts = {text: 0 for call in calls for text in call.arguments if isinstance(text, bytes)}
    segments = 2 if loader else 1
    start = _BASE + 64 + 56 * segments
    # All code has the same length whatever the addresses are.
    results = start + len(_code(calls, texts, 0))
    place = results + 9 * len(calls)
    for text in texts:
        texts[text] = place
        place += len(text) + 1
    code = _code(calls, texts, results)
    data = bytes(9 * len(calls)) + b"".join(text + b"\0" for text in texts)
    size = start - _BASE + len(code) + len(data)
    header = struct.pack(
        "=16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, 62, 1, start, 64, 0, 0, 64, 56, segments, 0, 0, 0,
    )  # fmt: skip
    load = struct.pack("=IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size + _SPACE, 0x1000)
    tail = b""
    if loader:
        length = len(loader) + 1
        load = struct.pack("=IIQQQQQQ", 3, 4, size, _BASE + size, 0, length, length, 1) + load
        tail = loader + b"\0"
    return header + load + code + data + tail


def _code(calls: Sequence[Call], texts: dict[bytes, int], results: int) -> bytes:
    """The calls; the list at `results` has a byte of each, and then all that it gave."""
    space = max(texts.values(), default=results + 9 * len(calls)) + 4096 & -64
    code = b""
    values = results + len(calls)
    for at, call in enumerate(calls):
        code += b"\x48\xc7\xc0" + struct.pack("=I", call.number)  # rax
        registers = _COMPATIBLE if call.compatible else _NATIVE
        for (load, take), value in zip(registers, [*call.arguments, *[0] * 6][:6], strict=True):
            if isinstance(value, Result):
                code += take + struct.pack("=I", values + 8 * value.call) + b"\x90\x90"
            else:
                number = space if isinstance(value, Space) else value
                number = texts[number] if isinstance(number, bytes) else number
                code += load + struct.pack("=Q", number & 2**64 - 1)
        code += b"\xcd\x80" if call.compatible else b"\x0f\x05"  # int 0x80, or syscall
        # mov [value], rax; neg eax; jns +2; xor eax, eax (a success); mov [result], al
        code += b"\x48\x89\x04\x25" + struct.pack("=I", values + 8 * at)
        code += b"\xf7\xd8\x79\x02\x31\xc0\x88\x04\x25" + struct.pack("=I", results + at)
    return code + _ending(results, len(calls))


def _ending(results: int, count: int) -> bytes:
    write = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\xbe" + struct.pack("=Q", results)
    return write + b"\xba" + struct.pack("=I", count) + b"\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05"


_NATIVE = (
    (b"\x48\xbf", b"\x48\x8b\x3c\x25"),  # rdi
    (b"\x48\xbe", b"\x48\x8b\x34\x25"),  # rsi
    (b"\x48\xba", b"\x48\x8b\x14\x25"),  # rdx
    (b"\x49\xba", b"\x4c\x8b\x14\x25"),  # r10
    (b"\x49\xb8", b"\x4c\x8b\x04\x25"),  # r8
    (b"\x49\xb9", b"\x4c\x8b\x0c\x25"),  # r9
)
"""For each argument: a number into its register, and what is at an address."""
_COMPATIBLE = (
    (b"\x48\xbb", b"\x48\x8b\x1c\x25"),  # rbx
    (b"\x48\xb9", b"\x48\x8b\x0c\x25"),  # rcx
    *_NATIVE[2:3],
    *_NATIVE[1:2],
    *_NATIVE[0:1],
    (b"\x48\xbd", b"\x48\x8b\x2c\x25"),  # rbp
)
