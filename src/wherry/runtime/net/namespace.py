"""Network name spaces: entering one, its loopback, and helper processes that end with their maker."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def opened(pid: int) -> int:
    """A descriptor of the network name space of `pid`, which lasts as long as that."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(pid: int) -> None:
    """Put the calling thread into the network name space of `pid`; OSError where it may not."""
    descriptor = opened(pid)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the container's network name space")
    finally:
        os.close(descriptor)


def mount_at(pid: int, path: str) -> None:
    """Mount the network name space of `pid` on the file `path`, made for it: a name that others can open."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if _libc.mount(f"/proc/{pid}/ns/net".encode(), os.fsencode(path), None, _MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount the container's network name space")


def unmount(path: str) -> None:
    """Take away what `mount_at` mounted; nothing where it is gone already."""
    _libc.umount2(os.fsencode(path), _MNT_DETACH)


def fork_helper(work: Callable[[], None]) -> int:
    """A child that runs `work` and is killed when this process ends in any way; its process ID.

    To be called by the only thread of a process.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _end_with(parent)
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def end_helper(pid: int) -> None:
    """Kill a helper and wait for it; one that has ended is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _end_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the request: then there will be no signal.
    if os.getppid() != parent:
        os._exit(1)


def close_all_but(keep: set[int]) -> None:
    """Close the other descriptors: a forgotten end of a pipe keeps the other from seeing its end."""
    first = 0
    for descriptor in [*sorted(keep), 1 << 20]:
        # Python takes an empty range from 0 for "all".
        if first < descriptor:
            os.closerange(first, descriptor)
        first = descriptor + 1
