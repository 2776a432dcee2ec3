"""What keeps a process from the machine, tried from inside: mounts, masks and docker's seccomp profile."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support.calls import Call, program
from support.hosts import Host
from support.running import run, sh
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import MASKED_PATHS, READ_ONLY_PATHS

pytestmark = pytest.mark.needs("root", "busybox")

MOUNTS = {
    "/proc": ("proc", {"rw", "nosuid", "nodev", "noexec"}),
    "/dev": ("tmpfs", {"rw", "nosuid"}),
    "/dev/pts": ("devpts", {"rw", "nosuid", "noexec"}),
    "/dev/shm": ("tmpfs", {"rw", "nosuid", "nodev", "noexec"}),
    "/dev/mqueue": ("mqueue", {"rw", "nosuid", "nodev", "noexec"}),
    "/sys": ("sysfs", {"ro", "nosuid", "nodev", "noexec"}),
}
"""The standard mounts, as docker has them."""


def test_the_standard_mounts(runtime: Runtime, rootfs: Path) -> None:
    found: dict[str, tuple[str, set[str]]] = {}
    for line in run(runtime, rootfs, "cat", "/proc/mounts").output.splitlines():
        _, place, kind, options, *_ = line.split()
        found[place] = kind, set(options.split(","))
    for place, (wanted, least) in MOUNTS.items():
        assert found[place][0] == wanted, place
        assert least <= found[place][1], (place, found[place])


def test_every_masked_path_shows_nothing(runtime: Runtime, rootfs: Path) -> None:
    script = "for p; do [ -d $p ] && ls -A $p && touch $p/x && echo made; [ -f $p ] && cat $p; done"
    script += "; for p; do [ -c $p ] && cat $p; done"
    result = run(runtime, rootfs, "sh", "-c", f"({script}) 2> /dev/null", "sh", *MASKED_PATHS)
    assert result.output == ""


def test_every_read_only_path_is(runtime: Runtime, rootfs: Path) -> None:
    script = 'for p; do [ -e $p ] && grep -q " $p [a-z]* ro" /proc/mounts && echo $p; done; true'
    here = [path for path in READ_ONLY_PATHS if os.path.exists(path)]
    assert run(runtime, rootfs, "sh", "-c", script, "sh", *here).output.split() == here


def test_nothing_below_sys_can_be_written(runtime: Runtime, rootfs: Path) -> None:
    script = (
        "find /sys -type d -maxdepth 3 | while read d; do mkdir $d/made 2> /dev/null && echo $d; done; true"
    )
    assert sh(runtime, rootfs, script).output == ""


NEWUSER, SIGCHLD = 0x10000000, 17
REFUSED, ABSENT = errno.EPERM, errno.ENOSYS

CALLS = {
    "mount": (Call(165), REFUSED),
    "umount2": (Call(166), REFUSED),
    "pivot_root": (Call(155), REFUSED),
    "unshare": (Call(272, (NEWUSER,)), REFUSED),
    "setns": (Call(308, (0,)), REFUSED),
    "clone of a user namespace": (Call(56, (NEWUSER | SIGCHLD,)), REFUSED),
    "clone3": (Call(435), ABSENT),
    "bpf": (Call(321), REFUSED),
    "perf_event_open": (Call(298), REFUSED),
    "userfaultfd": (Call(323), REFUSED),
    "io_uring_setup": (Call(425, (1,)), REFUSED),
    "keyctl": (Call(250, (0, 2**32 - 3)), REFUSED),
    "add_key": (Call(248), REFUSED),
    "request_key": (Call(249), REFUSED),
    "open_by_handle_at": (Call(304), REFUSED),
    "kexec_load": (Call(246), REFUSED),
    "init_module": (Call(175), REFUSED),
    "finit_module": (Call(313), REFUSED),
    "delete_module": (Call(176), REFUSED),
    "reboot": (Call(169), REFUSED),
    "swapon": (Call(167), REFUSED),
    "acct": (Call(163), REFUSED),
    "settimeofday": (Call(164), REFUSED),
    "clock_settime": (Call(227), REFUSED),
    "syslog": (Call(103, (10,)), REFUSED),
    "get_mempolicy": (Call(239), REFUSED),
    "set_mempolicy": (Call(238), REFUSED),
    "mbind": (Call(237), REFUSED),
    "move_pages": (Call(279), REFUSED),
    "kcmp": (Call(312), REFUSED),
    "vhangup": (Call(153), REFUSED),
    "iopl": (Call(172), REFUSED),
    "sethostname": (Call(170), REFUSED),
    "fsopen": (Call(430), REFUSED),
    "open_tree": (Call(428), REFUSED),
    "move_mount": (Call(429), REFUSED),
    "mount_setattr": (Call(442), REFUSED),
    "pidfd_getfd": (Call(438), REFUSED),
    "a vsock socket": (Call(41, (40, 1)), REFUSED),
    "x32": (Call(0x40000000 + 39), ABSENT),
    "an internet socket": (Call(41, (2, 1)), 0),
    "getpid": (Call(39), 0),
    "personality, asked for": (Call(135, (0xFFFFFFFF,)), 0),
    "chroot": (Call(161), errno.EFAULT),
    "mknod": (Call(133), errno.EFAULT),
    "ptrace of nobody": (Call(101, (16,)), errno.ESRCH),
    "process_vm_readv": (Call(310), 0),
    "memfd_create": (Call(319), errno.EFAULT),
    "seccomp": (Call(317, (2, 0, 0)), errno.EFAULT),
    "futex_waitv": (Call(449), errno.EINVAL),
    "landlock_create_ruleset": (Call(444, (0, 0, 1)), None),
}
"""For each a call, and what becomes of it with docker's profile and capabilities; None: it is not refused."""

OWN = {
    "personality, no random addresses": (Call(135, (0x40000,)), REFUSED),
    "a call of the future": (Call(1000), ABSENT),
}
"""What the profile in words cannot say to crun and runc (seccomp.profile)."""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls are x86-64's")
def test_docker_s_profile_call_by_call(host: Host, runtime: Runtime, rootfs: Path) -> None:
    wanted = CALLS | (OWN if host.is_native else {})
    (rootfs / "calls").write_bytes(program([call for call, _ in wanted.values()]))
    (rootfs / "calls").chmod(0o755)
    result = run(runtime, rootfs, "sh", "-c", "/calls | od -An -v -tu1")
    errors = dict(zip(wanted, map(int, result.output.split()), strict=True))
    wrong = {
        name: errno.errorcode.get(errors[name], "allowed")
        for name, (_, expected) in wanted.items()
        if errors[name] != expected and (expected is not None or errors[name] in (REFUSED,))
    }
    assert wrong == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls are x86-64's")
def test_without_the_profile_the_same_calls_are_not_refused(runtime: Runtime, rootfs: Path) -> None:
    """So it is the profile that refuses them, and not the want of a capability."""
    names = ("unshare", "clone3", "io_uring_setup", "keyctl")
    (rootfs / "calls").write_bytes(program([CALLS[name][0] for name in names]))
    (rootfs / "calls").chmod(0o755)
    result = run(runtime, rootfs, "sh", "-c", "/calls | od -An -v -tu1", container={"seccomp": False})
    errors = dict(zip(names, map(int, result.output.split()), strict=True))
    assert not set(errors.values()) & {REFUSED, ABSENT}, errors
