"""Instructions of a seccomp filter: classic BPF over struct seccomp_data."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

from wherry.base.tuples import NamedTuple

LOAD, RETURN, JUMP = 0x20, 0x06, 0x05  # BPF_LD|BPF_W|BPF_ABS, BPF_RET|BPF_K, BPF_JMP|BPF_JA
IF_EQUAL, IF_ABOVE, IF_AT_LEAST, IF_ANY_BIT, AND = 0x15, 0x25, 0x35, 0x45, 0x54
NUMBER_AT, ARCHITECTURE_AT, ARGUMENT_AT = 0, 4, 16  # struct seccomp_data; the low half of an argument
DENY_EXISTENCE = 0x00050000 | errno.ENOSYS


class Step(NamedTuple):
    """A BPF instruction whose jumps, where it has them, count from the next one."""

    code: int
    value: int
    then: int = 0
    otherwise: int = 0


def pack(steps: Sequence[Step]) -> bytes:
    """An array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", step.code, step.then, step.otherwise, step.value) for step in steps)
