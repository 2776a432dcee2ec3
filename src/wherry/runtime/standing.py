"""A process that is to outlive the command that it was forked from."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from wherry.runtime.net import namespace


def stand_alone(log: str, keep: set[int], title: str) -> None:
    """Away from the starter: its session, its folder, its descriptors and the locks that they hold.

    All that it prints goes to the file `log`; the descriptors `keep` stay open. `title` as in `entitle`.
    """
    entitle(title)
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    namespace.close_all_but({0, 1, 2, *keep})
    sys.stdout = sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def entitle(title: str) -> None:
    """Show `title` in lists of processes, in place of the command line that this process was forked with.

    That one may have secrets (`-e TOKEN=...`), and everybody on the machine can read it.
    """
    with suppress(OSError):  # without /proc nobody else sees it there
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end (proc_pid_stat(5))
        room = end - start - 1
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            # The last byte stays zero: else it would be shown on into the environment.
            memory.write(title.encode("ascii")[:room].ljust(room, b"\0"))
