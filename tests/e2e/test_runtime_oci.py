"""crun and runc behind the same interface as the built-in runtime."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running import (
    read_terminal,
    sh,
    start,
    wait_until,
)
from wherry.base.errors import NotFound
from wherry.runtime.native import ExecFailed
from wherry.runtime.oci import Oci
from wherry.runtime.spec import Container, Mount, Process, User

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture(scope="module", params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Oci]:
    if not shutil.which(request.param):
        pytest.skip(f"needs {request.param}")
    with Oci(request.param) as opened:
        yield opened


def test_output_exit_code_and_ready(runtime: Oci, rootfs: Path) -> None:
    seen: list[str] = []

    def ready(pid: int) -> None:
        seen.append(os.readlink(f"/proc/{pid}/ns/net"))

    result = sh(
        runtime, rootfs, "readlink /proc/self/ns/net; exit 4", ready=ready, container={"network": "private"}
    )
    assert result[:2] == (4, seen[0] + "\n")
    assert seen[0] != os.readlink("/proc/self/ns/net")


def test_the_user(runtime: Oci, rootfs: Path) -> None:
    result = sh(runtime, rootfs, "id -u; id -G; grep CapEff /proc/self/status", user=User(7, 8, (8, 9)))
    assert result.output.split() == ["7", "8", "9", "CapEff:", "0" * 16]


def test_kill(runtime: Oci, rootfs: Path) -> None:
    running = start(runtime, rootfs, "sleep", "100")
    running.kill(signal.SIGKILL)
    assert running.wait() == 137


@pytest.mark.parametrize(("command", "code"), [("nope", 127), ("/nope", 127), ("/etc", 126)])
def test_what_cannot_be_executed(runtime: Oci, rootfs: Path, command: str, code: int) -> None:
    with pytest.raises(ExecFailed) as caught:
        start(runtime, rootfs, command)
    assert caught.value.exit_code == code


def test_mounts_stay_inside_their_root(runtime: Oci, rootfs: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "file").write_text("stage\n")
    (stage / "link").symlink_to("/../../../file")
    mounts = (Mount("bind", "link", "/etc/seen", ("ro",), root=str(stage)),)
    script = "cat /etc/seen; (echo x > /etc/seen) 2>/dev/null || echo refused"
    assert sh(runtime, rootfs, script, container={"mounts": mounts}).output == "stage\nrefused\n"


def test_device_nodes_cannot_be_opened(runtime: Oci, rootfs: Path) -> None:
    script = """
        for folder in / /dev /tmp; do
            mknod $folder/port c 1 4 2>/dev/null
            (: < $folder/port) 2>/dev/null && echo opened $folder
        done; echo done > /dev/stdout; echo gone > /dev/null
    """
    assert sh(runtime, rootfs, script).output == "done\n"


def test_the_seccomp_profile(runtime: Oci, rootfs: Path) -> None:
    script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused"
    assert sh(runtime, rootfs, script).output.split() == ["Seccomp:", "2", "refused"]
    free = sh(runtime, rootfs, script, container={"seccomp": False})
    assert free.output.split() == ["Seccomp:", "0"]


def test_a_terminal(runtime: Oci, rootfs: Path) -> None:
    process = Process(("sh", "-c", "tty; read line; echo got $line"), terminal=True)
    running = runtime.start(Container("test", str(rootfs), process), 0, 1, 2)
    os.write(running.console, b"word\n")
    assert "got word" in read_terminal(running.console)
    assert running.wait() == 0


PARENT = """
import os, sys, time
from wherry.runtime.oci import Oci
from wherry.runtime.spec import Container, Process
null = os.open("/dev/null", os.O_RDWR)
process = Process(("sh", "-c", f"sleep {sys.argv[3]} & sleep {sys.argv[3]}"))
running = Oci(sys.argv[1]).start(Container("c", sys.argv[2], process), null, null, null)
print(running.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_nothing_survives_a_killed_parent(rootfs: Path, program: str, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    command = [sys.executable, "-c", PARENT, program, str(rootfs), "1000"]
    # What a killed parent leaves in its temporary folder goes with the test's.
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    # Nobody was left to ask runc to remove the cgroups it had made.
    for cgroup in Path("/sys/fs/cgroup").glob(f"**/wherry-{parent.pid}-0"):
        cgroup.rmdir()


def test_a_runtime_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="the runtime nope is not installed"):
        Oci("nope")
