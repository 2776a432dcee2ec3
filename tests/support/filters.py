"""What a seccomp filter decides, by a small BPF machine; and where the kernel says which calls there are."""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, SUCCEED, NOTIFY = 0, -1, -2


def decide(filter_: bytes, architecture: int, number: int, *arguments: int) -> int:
    """The errno that a call gets, or one of ALLOW, SUCCEED and NOTIFY."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *arguments, *(0,) * (6 - len(arguments)))
    steps = list(struct.iter_unpack("=HBBI", filter_))
    at = accumulator = 0
    while True:
        code, then, otherwise, value = steps[at]
        at += 1
        if code == 0x06:
            if value == 0x7FFF0000:
                return ALLOW
            if value == 0x7FC00000:
                return NOTIFY
            assert value >> 16 == 0x0005
            return int(value & 0xFFFF) or SUCCEED
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            at += value
        else:
            holds = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += then if holds else otherwise


HEADERS = {
    ("x86_64", 0): "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    ("x86_64", 1): "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    ("aarch64", 0): "/usr/include/asm-generic/unistd.h",
}
"""Where the kernel's own headers have the numbers of calls; aarch64 has the generic ones."""
