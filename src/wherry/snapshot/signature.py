"""What tells that nobody has touched a file since we looked: its inode, and the time of its last change.

The kernel sets the time of change (`st_ctime`) at every change of content, mode, owner, attributes or number
of names, and nobody can set it otherwise. It has two holes. Changes within one tick of the kernel's clock get
the same time: so whoever wants to see changes waits for the next tick first (`await_tick`). And some file
systems do not set it for what is written through memory (mmap): `shows_mapped_writes` tries.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from functools import cache

from wherry.base.tuples import NamedTuple

_AT_SYMLINK_NOFOLLOW, _STATX_BTIME = 0x100, 0x800
_BIRTH_AT = 80  # struct statx: seconds (8 bytes) and nanoseconds (4) of stx_btime
_PATIENCE = 3.0  # seconds: file systems with whole seconds, or two, exist


class Signature(NamedTuple):
    inode: int
    changed: int
    """ns."""
    modified: int
    """ns."""
    size: int
    mode: int
    uid: int
    gid: int


def signature(status: os.stat_result) -> Signature:
    return Signature(
        status.st_ino,
        status.st_ctime_ns,
        status.st_mtime_ns,
        status.st_size,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


def birth(folder: int, name: str) -> bytes:
    """When the inode came to be: a folder that was removed and made again may get the number of the old one.

    All zeros where the file system does not remember.
    """
    buffer = ctypes.create_string_buffer(256)
    done = _statx()(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer)
    if done != 0 or not int.from_bytes(buffer.raw[:4], "little") & _STATX_BTIME:
        return bytes(12)
    return buffer.raw[_BIRTH_AT : _BIRTH_AT + 12]


def await_tick(folder: str, latest: int) -> bool:
    """Wait until what is changed in the file system of `folder` gets a time after `latest` (ns).

    False where that does not come: the clock was set back, or is not to be relied on.
    """
    probe = f"{folder}/tick-{threading.get_native_id()}"
    end = time.monotonic() + _PATIENCE
    descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        while True:
            os.utime(descriptor)
            if os.fstat(descriptor).st_ctime_ns > latest:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
    finally:
        os.close(descriptor)
        os.unlink(probe)


def shows_mapped_writes(folder: str) -> bool:
    """Whether what a process writes through memory changes the time of a file in `folder`."""
    import mmap

    probe = f"{folder}/mapped-{threading.get_native_id()}"
    descriptor = os.open(probe, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, bytes(mmap.PAGESIZE))
        before = os.fstat(descriptor).st_ctime_ns
        if not await_tick(folder, before):
            return False
        with mmap.mmap(descriptor, mmap.PAGESIZE) as memory:
            memory[0] = 1
        return os.fstat(descriptor).st_ctime_ns != before
    except OSError:
        return False
    finally:
        os.close(descriptor)
        os.unlink(probe)


@cache
def _statx() -> ctypes._NamedFuncPointer:
    libc = ctypes.CDLL(None)
    libc.statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    return libc.statx
