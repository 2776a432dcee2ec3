"""A process that is to outlive the command that it was forked from."""

from __future__ import annotations

import os
import signal
import sys

from wherry.runtime.net import namespace


def stand_alone(log: str, keep: set[int]) -> None:
    """Away from the starter: its session, its folder, its descriptors and the locks that they hold.

    All that it prints goes to the file `log`; the descriptors `keep` stay open.
    """
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
