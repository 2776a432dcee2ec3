"""What is read of a container before something is executed in it: its processes may be waiting for that."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.container.monitor import execution


def test_a_lease_on_passwd_holds_up_nobody(tmp_path: Path) -> None:
    """Who opens a file that another has a lease of waits, by default for 45 seconds (fcntl(2))."""
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0::/:/bin/sh\n")
    told, tell = os.pipe()
    keep, release = os.pipe()
    pid = os.fork()
    if not pid:
        import signal

        signal.signal(signal.SIGIO, signal.SIG_IGN)
        os.close(release)
        descriptor = os.open(path, os.O_RDWR)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.write(tell, b"x")
        os.read(keep, 1)
        os._exit(0)
    try:
        assert os.read(told, 1)
        begin = time.monotonic()
        with pytest.raises(WherryError, match="cannot read /passwd of the container"):
            execution._read(str(tmp_path), "passwd")
        assert time.monotonic() - begin < 30  # what holds the file gives up after 45
    finally:
        os.close(release)
        os.waitpid(pid, 0)
