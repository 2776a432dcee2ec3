"""crun and runc behind the same interface as the built-in runtime."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.base.errors import NotFound
from wherry.runtime.helper import ExecFailed, Running
from wherry.runtime.oci import Oci
from wherry.runtime.spec import Container, Mount, Process, User

BUSYBOX = "/bin/busybox"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="needs the package busybox-static"),
]


@pytest.fixture(scope="module", params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Oci]:
    if not shutil.which(request.param):
        pytest.skip(f"needs {request.param}")
    with Oci(request.param) as opened:
        yield opened


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in ("sh", "cat", "sleep", "mknod", "grep", "tty", "readlink", "id", "unshare", "true"):
        (root / "bin" / name).symlink_to("busybox")
    root.chmod(0o755)
    return root


def run(
    runtime: Oci, rootfs: Path, script: str, ready: Callable[[int], None] | None = None, **changes: Any
) -> tuple[int, str]:
    container = Container("test", str(rootfs), Process(("sh", "-c", script)))._replace(**changes)
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        running = runtime.start(container, null, write, write, ready)
    finally:
        os.close(write)
        os.close(null)
    with os.fdopen(read) as pipe:
        output = pipe.read()
    return running.wait(), output


def start(runtime: Oci, rootfs: Path, *args: str) -> Running:
    null = os.open("/dev/null", os.O_RDWR)
    try:
        return runtime.start(Container("test", str(rootfs), Process(args)), null, null, null)
    finally:
        os.close(null)


def test_output_exit_code_and_ready(runtime: Oci, rootfs: Path) -> None:
    seen: list[str] = []

    def ready(pid: int) -> None:
        seen.append(os.readlink(f"/proc/{pid}/ns/net"))

    result = run(runtime, rootfs, "readlink /proc/self/ns/net; exit 4", ready, network="private")
    assert result == (4, seen[0] + "\n")
    assert seen[0] != os.readlink("/proc/self/ns/net")


def test_the_user(runtime: Oci, rootfs: Path) -> None:
    process = Process(("sh", "-c", "id -u; id -G; grep CapEff /proc/self/status"), user=User(7, 8, (8, 9)))
    _, output = run(runtime, rootfs, "", process=process)
    assert output.split() == ["7", "8", "9", "CapEff:", "0" * 16]


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
    assert run(runtime, rootfs, script, mounts=mounts) == (0, "stage\nrefused\n")


def test_device_nodes_cannot_be_opened(runtime: Oci, rootfs: Path) -> None:
    script = """
        for folder in / /dev /tmp; do
            mknod $folder/port c 1 4 2>/dev/null
            (: < $folder/port) 2>/dev/null && echo opened $folder
        done; echo done > /dev/stdout; echo gone > /dev/null
    """
    assert run(runtime, rootfs, script) == (0, "done\n")


def test_the_seccomp_profile(runtime: Oci, rootfs: Path) -> None:
    script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused"
    assert run(runtime, rootfs, script)[1].split() == ["Seccomp:", "2", "refused"]
    assert run(runtime, rootfs, script, seccomp=False)[1].split() == ["Seccomp:", "0"]


def test_a_terminal(runtime: Oci, rootfs: Path) -> None:
    process = Process(("sh", "-c", "tty; read line; echo got $line"), terminal=True)
    running = runtime.start(Container("test", str(rootfs), process), 0, 1, 2)
    os.write(running.console, b"word\n")
    output = b""
    try:
        while part := os.read(running.console, 4096):
            output += part
    except OSError:
        pass  # EIO: its last user has gone
    os.close(running.console)
    assert running.wait() == 0
    assert b"got word" in output


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
        ended = os.pidfd_open(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.close(ended)
    # Nobody was left to ask runc to remove the cgroups it had made.
    for cgroup in Path("/sys/fs/cgroup").glob(f"**/wherry-{parent.pid}-0"):
        cgroup.rmdir()


def test_a_runtime_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="the runtime nope is not installed"):
        Oci("nope")
