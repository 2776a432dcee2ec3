"""What the kernel opens by itself for a program that is executed; programs.c does the plain cases."""

from __future__ import annotations

import os
import struct

OF_32_BITS = "a program of 32 bits ran, whose system calls cannot be observed"
UNREADABLE = "a program that was executed could not be read"
_SCRIPT_LINE = 256  # BINPRM_BUF_SIZE
_ELF_64, _LITTLE_ENDIAN, _PT_INTERP, _PROGRAM_HEADER = 2, 1, 3, 56
_OWN_32_BITS = {"x86_64": (3, 62), "aarch64": (40,)}
"""What programs of 32 bits that this kernel executes by itself are for (e_machine, elf(5))."""


def interpreter(file: int) -> bytes:
    """What the kernel opens for a program, which is closed; empty where it needs nothing else."""
    try:
        start = os.pread(file, _SCRIPT_LINE, 0)
        line = start.partition(b"\n")[0]
        if start[:2] == b"#!":
            return line[2:].partition(b"\0")[0].replace(b"\t", b" ").strip(b" ").partition(b" ")[0]
        if start[:4] == b"\x7fELF":
            return loader(file, start)
        if b"\0" in line:
            raise ValueError(
                "a file was executed that is neither a script nor a program of Linux (binfmt_misc)"
            )
        return b""  # a shell reads it itself
    except IsADirectoryError:
        return b""
    except OSError:
        raise ValueError(UNREADABLE) from None
    finally:
        os.close(file)


def loader(file: int, start: bytes) -> bytes:
    """The program's PT_INTERP (elf(5)), of 64 bits and this machine's byte order."""
    if len(start) < 64 or start[5] != _LITTLE_ENDIAN:
        return b""  # an emulator's, as all machines that wherry knows have this order
    if start[4] != _ELF_64:
        if int.from_bytes(start[18:20], "little") in _OWN_32_BITS.get(os.uname().machine, ()):
            raise ValueError(OF_32_BITS)
        return b""  # an emulator's
    (offset,) = struct.unpack_from("=Q", start, 32)
    size, count = struct.unpack_from("=HH", start, 54)
    table = os.pread(file, size * count, offset)
    for at in range(0, len(table) - _PROGRAM_HEADER + 1, size or _PROGRAM_HEADER):
        (kind,) = struct.unpack_from("=I", table, at)
        if kind == _PT_INTERP:
            place, length = struct.unpack_from("=Q16xQ", table, at + 8)
            return os.pread(file, min(length, 4096), place).rstrip(b"\0")
    return b""
