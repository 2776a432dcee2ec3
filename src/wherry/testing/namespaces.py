"""Runs a test's function where it may mount: in a process with mounts of its own, which go with it."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable

_NEW_MOUNTS, _NEW_USERS = 0x20000, 0x10000000
_RECURSIVE_PRIVATE = (1 << 14) | (1 << 18)


def with_own_mounts(function: Callable[[], object], *, user: bool = False) -> None:
    """Calls `function` in a forked process; AssertionError, with the traceback, if it raises anything.

    With `user` the process is root of a user namespace with ids 0 to 65535, as a rootless build is. Needs
    root either way.
    """
    report, answer = os.pipe()
    mapped, map_now = os.pipe()
    ready, say_ready = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(map_now)
            _separate(user, say_ready, mapped)
            function()
            status = 0
        except BaseException:
            os.write(answer, traceback.format_exc().encode(errors="replace")[-60000:])
        finally:
            os._exit(status)
    for end in (answer, mapped, say_ready):
        os.close(end)
    if user and os.read(ready, 1):
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w") as file:
                file.write("0 0 65536")
    os.close(map_now)
    with open(report, "rb") as text:
        failure = text.read().decode()
    os.close(ready)
    _, status = os.waitpid(child, 0)
    if status:
        raise AssertionError(f"in its own mount namespace:\n{failure or f'ended with status {status}'}")


def _separate(user: bool, say_ready: int, mapped: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS | (_NEW_USERS if user else 0)) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        os.write(say_ready, b"r")
        os.read(mapped, 1)  # ends when the parent has written the maps
        os.setresuid(0, 0, 0)
    if libc.mount(b"none", b"/", None, _RECURSIVE_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
