"""Terminals, and the end of the helper process: nothing survives it."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from support.running import (
    children,
    descendants,
    processes,
    read_terminal,
    start,
    unique,
    wait_until,
)
from wherry.base.errors import WherryError
from wherry.runtime.native import Native
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Container, Process, User

pytestmark = pytest.mark.needs("root", "busybox")


def test_a_terminal(runtime: Runtime, rootfs: Path) -> None:
    script = (
        "test -t 0 && test -t 1 && test -t 2 && tty; read line; stty size; echo got $line; ls /dev/console"
    )
    process = Process(("sh", "-c", script), terminal=True, user=User(1000, 1000))
    running = runtime.start(Container("c", str(rootfs), process), 0, 1, 2)
    fcntl.ioctl(running.console, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
    os.write(running.console, b"word\n")
    output = read_terminal(running.console)
    assert running.wait() == 0
    assert output.replace("\r", "").splitlines()[0] in ("word", "/dev/pts/0", "/dev/console")
    assert "33 99" in output
    assert "got word" in output


def test_the_terminal_s_interrupt_reaches_the_command(runtime: Runtime, rootfs: Path) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    running = runtime.start(
        Container("c", str(rootfs), Process(("sh", "-c", script), terminal=True)), 0, 1, 2
    )
    assert os.read(running.console, 100).strip() == b"ready"
    os.write(running.console, b"\x03")
    assert "caught" in read_terminal(running.console)
    assert running.wait() == 9


SLEEPERS = """
import os, sys, time
from wherry.runtime.runtime import Runtime
from wherry.runtime.native import Native
from wherry.runtime.spec import Container, Process
runtime = Native()
null = os.open("/dev/null", os.O_RDWR)
script = "setsid sleep {0} & (sleep {0} &) ; sleep {0}"
process = Process(("sh", "-c", script.format(sys.argv[2])))
for _ in range(2):
    runtime.start(Container("c", sys.argv[1], process), null, null, null)
print("started", flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("victim", ["parent", "helper", "parent, gently"])
def test_nothing_survives(rootfs: Path, victim: str) -> None:
    mark = unique()
    command = [sys.executable, "-c", SLEEPERS, str(rootfs), mark]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout and parent.stdout.readline() == "started\n"
        wait_until(lambda: len(processes(mark)) >= 7)  # the parent and six sleeping
        if victim == "helper":
            (helper,) = children(parent.pid)
            os.kill(helper, signal.SIGKILL)
            wait_until(lambda: processes(mark) == [parent.pid])
        parent.send_signal(signal.SIGTERM if victim == "parent, gently" else signal.SIGKILL)
        parent.wait()
    wait_until(lambda: processes(mark) == [])


def test_closing_ends_every_container(rootfs: Path) -> None:
    mark = unique()
    with Native() as runtime:
        running = start(runtime, rootfs, "sleep", mark)
        assert processes(mark)
    assert processes(mark) == []
    assert running.wait() == 137


def test_a_helper_that_was_killed(rootfs: Path) -> None:
    with Native() as runtime:
        running = start(runtime, rootfs, "sleep", "1000")
        helper = [pid for pid in children(os.getpid()) if running.pid in descendants(pid)]
        os.kill(helper[0], signal.SIGKILL)
        assert running.wait() == 137
        with pytest.raises(WherryError, match=r"helper process .* has ended"):
            start(runtime, rootfs, "true")
