"""What is particular to crun and runc; the tests of the built-in runtime try them too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import programs
from support.running import run, wait_until
from wherry.base.errors import NotFound, Unsupported
from wherry.runtime.runtimes import open_runtime, resolve

pytestmark = pytest.mark.needs("root", "busybox")

PARENT = """
import os, sys, time
from wherry.runtime.runtimes import open_runtime
from wherry.runtime.spec import Container, Process
null = os.open("/dev/null", os.O_RDWR)
process = Process(("sh", "-c", f"sleep {sys.argv[3]} & sleep {sys.argv[3]}"))
running = open_runtime(sys.argv[1], sys.argv[4]).start(Container("c", sys.argv[2], process), null, null, null)
print(running.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_nothing_survives_a_killed_parent(rootfs: Path, program: str, tmp_path: Path) -> None:
    programs.require(program)
    command = [sys.executable, "-c", PARENT, program, str(rootfs), "1000", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    # Nobody was left to ask runc to remove the cgroups it had made: the next one does it.
    wait_until(lambda: _is_swept(program, tmp_path, parent.pid))


def _is_swept(program: str, folder: Path, pid: int) -> bool:
    with open_runtime(program, str(folder)):
        return not list(Path("/sys/fs/cgroup").glob(f"**/wherry.{pid}.0"))


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_what_json_cannot_say_is_refused(rootfs: Path, program: str, tmp_path: Path) -> None:
    programs.require(program)
    with (
        open_runtime(program, str(tmp_path)) as runtime,
        pytest.raises(Unsupported, match="'CAF\ufffd' is not UTF-8"),
    ):
        run(runtime, rootfs, "true", env=("PATH=/bin", "CAF\udce9=1"))


def test_a_runtime_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="the runtime nope is not installed"):
        resolve("nope")
    with pytest.raises(NotFound, match="the runtime /nope is not there"):
        resolve("/nope")
