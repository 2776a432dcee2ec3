"""What a RUN tries against the host, the store and other builds, with docker's rights and with none."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from support.cli import Wherry, write_files
from support.escapes import TRIES, script, successes
from support.running import processes, unique
from support.victim import Victim

pytestmark = pytest.mark.needs("root", "busybox", "newuidmap")


@pytest.mark.parametrize("user", ["root", "web"])
def test_the_host_is_out_of_reach(victim: Victim, user: str) -> None:
    """As the container's root with docker's capabilities, and as a user of the image."""
    mark = unique()
    outside = subprocess.Popen(["sleep", mark])
    try:
        other = "FROM base\nRUN --mount=type=cache,id=other,target=/c touch /c/other\n"
        assert victim.build(other).code == 0
        result = victim.build(
            "FROM base\nRUN mkdir /mnt && chmod 1777 /tmp /mnt\nCOPY --chmod=755 tries /tries\n"
            f"USER {user}\nRUN --mount=type=cache,id=mine,target=/c,mode=1777 /tries\n",
            tries=script(TRIES, victim.treasure, victim.wherry.root, outside.pid),
        )
        assert successes(TRIES, result.err) == []
        assert processes(mark) == [outside.pid]
    finally:
        outside.kill()
        outside.wait()
    victim.keeps(result)


CALLS = {  # x86-64
    "ptrace": (101, 0x4206, "outside"),
    "kcmp": (312, "outside", "outside"),
    "pidfd_getfd": (438, 0, 0),
    "open_by_handle_at": (304, -100, 0, 0),
    "io_uring_setup": (425, 8, 0),
    "add_key": (248, 0, 0),
    "request_key": (249, 0, 0),
    "keyctl": (250, 0, -3, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1),
    "userfaultfd": (323, 0),
    "unshare of users": (272, 0x10000000),
    "unshare of mounts": (272, 0x20000),
    "clone3": (435, 0, 0),
    "setns": (308, 0, 0),
    "mount": (165, 0, 0, 0, 0),
    "umount": (166, 0, 0),
    "open_tree": (428, -100, 0, 1),
    "fsopen": (430, 0, 0),
    "move_mount": (429, -100, 0, -100, 0),
    "mount_setattr": (442, -100, 0, 0, 0, 0),
    "pivot_root": (155, 0, 0),
    "kexec_load": (246, 0, 0, 0),
    "init_module": (175, 0, 0),
    "finit_module": (313, 0, 0),
    "settimeofday": (164, 0, 0),
    "clock_settime": (227, 0, 0),
    "swapon": (167, 0, 0),
    "reboot": (169, 0, 0, 0),
    "quotactl": (179, 0, 0, 0),
    "acct": (163, 0),
    "syslog": (103, 3, 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "lookup_dcookie": (212, 0, 0),
    "sethostname": (170, 0, 0),
}

ATTACK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for name, (number, *arguments) in {calls!r}.items():
    ctypes.set_errno(0)
    six = [{outside} if value == "outside" else value for value in [*arguments, 0, 0, 0, 0, 0, 0][:6]]
    result = libc.syscall(number, *map(ctypes.c_long, six))
    if result != -1 or ctypes.get_errno() not in (1, 3, 38):  # EPERM, ESRCH: no such process here, ENOSYS
        print("ALLOWED", name, result, ctypes.get_errno())
os.mkdir("/jail"); os.chroot("/jail"); os.chdir("../" * 50); os.chroot(".")
print("LISTED", sorted(os.listdir("/")), os.path.exists({treasure!r}))
"""


@pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls")
def test_system_calls_that_reach_the_host_are_refused(shared: Wherry, tmp_path: Path) -> None:
    """And a process that leaves its root by chroot(2), which docker allows, is still in the container's."""
    (tmp_path / "treasure").mkdir()
    attack = ATTACK.format(calls=CALLS, outside=os.getpid(), treasure=str(tmp_path / "treasure"))
    text = "FROM python:3.11-slim\nCOPY attack.py /\nRUN python3 /attack.py\n"
    context = write_files(tmp_path / "context", {"Dockerfile": text, "attack.py": attack})
    result = shared("build", "--progress", "plain", context)
    assert result.code == 0, result.err
    assert "ALLOWED" not in result.err
    assert "'attack.py'" in result.err
    assert "] False" in result.err
