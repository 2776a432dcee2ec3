"""Capabilities, profiles, devices and their like, in each mode and through each runtime."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from support import programs
from support.places import Place
from support.running import DOCKER_CAPABILITIES
from wherry.base.errors import Unsupported
from wherry.runtime import capabilities, reaper
from wherry.runtime.cgroups import tree
from wherry.runtime.init.process import CAPABILITIES

pytestmark = pytest.mark.needs("root", "busybox")

STATUS = "cat /proc/self/status"


def masks(place: Place, *words: str) -> dict[str, int]:
    """The sets of capabilities of a container's first process, by their names in proc(5)."""
    lines = (line.partition(":") for line in place.sh(STATUS, *words).splitlines())
    return {name: int(value, 16) for name, _, value in lines if name.startswith("Cap")}


def bits(*names: str) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in names)


def test_capabilities(place: Place) -> None:
    usual = int(DOCKER_CAPABILITIES, 16)
    if place.is_root and place.program == "crun" and not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        usual -= bits("MKNOD")  # without cgroups nothing keeps it from opening what it makes
    added = masks(place, "--cap-add", "net_admin", "--cap-add", "CAP_SYS_TIME", "--cap-drop", "CHOWN")
    expected = usual - bits("CHOWN") | bits("NET_ADMIN", "SYS_TIME")
    assert {added[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {expected}
    assert added["CapInh"] == added["CapAmb"] == 0
    none = masks(place, "--cap-drop", "all")
    assert set(none.values()) == {0}
    user = masks(place, "--cap-add", "NET_ADMIN", "-u", "web")
    assert (user["CapEff"], user["CapPrm"]) == (0, 0)


def test_a_capability_that_nobody_here_has(place: Place) -> None:
    missing = [name for name in CAPABILITIES if f"CAP_{name}" not in capabilities.available()]
    if not place.is_root or not missing:
        pytest.skip("this user can give all of them")
    result = place.wherry("run", "--rm", "--cap-add", missing[0], "busybox", "true")
    assert result.code == 125
    assert f"--cap-add {missing[0]}: wherry itself does not have this capability" in result.err
    assert masks(place, "--cap-add", "ALL")["CapEff"] & bits(missing[0]) == 0


def test_what_is_privileged(place: Place) -> None:
    """Nothing is masked, nothing filtered, no capability missing."""
    script = f"{STATUS}; grep -c ' /proc/' /proc/mounts; grep -q ' /sys sysfs rw' /proc/mounts && echo rw"
    shown = place.sh(f"{script}; mount -t tmpfs none /tmp && echo mounted", "--privileged")
    assert "Seccomp:\t2" in shown if place.mode == "single-id" else "Seccomp:\t0" in shown
    assert shown.splitlines()[-3:] == ["0", "rw", "mounted"]
    if place.is_root:
        here = bits(*(name.removeprefix("CAP_") for name in capabilities.available()))
        assert masks(place, "--privileged")["CapEff"] == here
        assert {"loop-control", "kmsg"} & set(os.listdir("/dev")) <= set(
            place.sh("ls /dev", "--privileged").split()
        )


def test_paths_of_the_system(place: Place) -> None:
    script = "grep -c ' /proc/sys ' /proc/mounts"
    assert place.wherry("run", "--rm", "busybox", "sh", "-c", script).out == "1\n"
    assert place.wherry("run", "--rm", "--security-opt", "systempaths=unconfined", "busybox",
                        "sh", "-c", script).out == "0\n"  # fmt: skip


def test_more_rights_for_one_command(place: Place) -> None:
    """`exec --privileged` gives its own process more, and nobody else."""
    place.wherry.ok("run", "-d", "--name", "web", "--network", "none", "busybox", "sleep", "1000")
    try:
        shown = place.wherry.ok("exec", "--privileged", "web", "sh", "-c", f"hostname new && {STATUS}")
        effective = next(line for line in shown.splitlines() if line.startswith("CapEff"))
        assert int(effective.split()[1], 16) & bits("SYS_ADMIN", "NET_ADMIN") == bits(
            "SYS_ADMIN", "NET_ADMIN"
        )
        refused = place.wherry("exec", "web", "hostname", "other")
        assert (refused.code, "not permitted" in refused.err) == (1, True)
    finally:
        place.wherry("rm", "-f", "web")


def profile(folder: Path, **document: object) -> Path:
    """A profile that its user can read."""
    path = folder / "profile.json"
    path.write_text(json.dumps(document))
    path.chmod(0o644)
    return path


def test_a_profile_of_one_s_own(place: Place) -> None:
    """For the first process and for those that come later."""
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDOM}
    path = profile(place.home, defaultAction="SCMP_ACT_ALLOW", syscalls=[refused])
    words = ("--security-opt", f"seccomp={path}")
    message = "Numerical argument out of domain"
    shown = place.sh("mkdir /tmp/x 2>&1; sleep 0; hostname", *words)
    assert message in shown
    place.wherry.ok("run", "-d", "--name", "web", *words, "busybox", "sleep", "1000")
    try:
        assert message in place.wherry("exec", "web", "mkdir", "/tmp/x").err
    finally:
        place.wherry("rm", "-f", "web")


ALLOWED = """
    access arch_prctl brk capget capset chdir clone close dup2 dup3 execve exit exit_group faccessat
    faccessat2
    fchdir fcntl fstat fstatfs futex getcwd getdents64 geteuid getpid getppid getuid getgid getegid getrandom
    gettid ioctl lseek mmap mprotect munmap newfstatat open openat prctl pread64 prlimit64 read readlink
    readlinkat rseq rt_sigaction rt_sigprocmask rt_sigreturn set_robust_list set_tid_address setgid setgroups
    setuid sigaltstack stat statx tgkill uname vfork wait4 write writev epoll_ctl epoll_create1 epoll_pwait
    nanosleep mount umount2 sched_getaffinity sched_yield eventfd2 getgroups setresuid setresgid close_range
    openat2 fchown statfs rt_sigpending pipe2 sendto recvmsg socket connect keyctl kill waitid fadvise64
    madvise
"""


def test_a_profile_that_names_what_is_allowed(place: Place) -> None:
    """What wherry does itself on the way to the command need not all be in it, as it is put on last."""
    allowed = {"names": ALLOWED.split(), "action": "SCMP_ACT_ALLOW"}
    path = profile(place.home, defaultAction="SCMP_ACT_ERRNO", syscalls=[allowed])
    words = ("--security-opt", f"seccomp={path}", "--security-opt", "no-new-privileges")
    assert place.sh("echo here; mkdir /tmp/x 2>/dev/null || echo refused", *words) == "here\nrefused\n"


def test_a_device(place: Place) -> None:
    """It can be opened; its mode stays the host's to change."""
    before = os.stat("/dev/urandom")
    script = "head -c 4 /dev/dice | wc -c; chmod 600 /dev/dice; chown 1 /dev/dice; ls -l /dev/dice; true"
    shown = place.sh(script, "--device", "/dev/urandom:/dev/dice")
    assert shown.splitlines()[0] == "4"
    assert "1,   9" in shown
    after = os.stat("/dev/urandom")
    assert (after.st_mode, after.st_uid, after.st_mtime) == (before.st_mode, before.st_uid, before.st_mtime)


def test_a_device_that_no_container_has(place: Place) -> None:
    """Only whoever may open it on the host gets it."""
    node = next((path for path in ("/dev/loop-control", "/dev/kmsg") if _opens(path)), "")
    if not node:
        pytest.skip("no device can be opened here")
    if place.is_root:
        assert place.sh(f": < {node} && echo opened", "--device", node) == "opened\n"
        refused = place.wherry("run", "--rm", "busybox", "sh", "-c", f": < {node}")
        assert refused.code != 0
        return
    result = place.wherry("run", "--rm", "--device", node, "busybox", "true")
    assert (result.code, "you may not open it" in result.err) == (125, True)


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def test_settings_of_the_kernel(place: Place) -> None:
    mine = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    shown = place.sh("cat /proc/sys/net/ipv4/ip_default_ttl", "--sysctl", "net.ipv4.ip_default_ttl=33")
    assert shown == "33\n"
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == mine


def test_more_groups(place: Place) -> None:
    words = ("-u", "web", "--group-add", "extra", "--group-add", "777")
    if place.mode == "single-id":
        assert place.sh("id -G", *words).split()[0] == "1000"
        return
    assert place.sh("id -G", *words).split() == ["1000", "44", "777"]
    unknown = place.wherry("run", "--rm", "--group-add", "nosuch", "busybox", "true")
    assert (unknown.code, "unable to find group nosuch" in unknown.err) == (125, True)


def test_how_soon_it_is_killed(place: Place) -> None:
    assert place.sh("cat /proc/self/oom_score_adj", "--oom-score-adj", "500") == "500\n"


ORPHAN = "(sh -c 'sleep 0.01 & echo' ) ; sleep 0.3; ps -o stat,comm | grep -c '^Z'"


def _has_init() -> bool:
    try:
        return bool(reaper.mount())
    except Unsupported:
        return False


def test_an_init(place: Place) -> None:
    """Orphans that have ended are gone, signals reach the command, and its end is the container's."""
    if not _has_init():
        programs.lack("neither wherry-init, which tools/compile.py makes, nor tini is here")
    assert place.wherry("run", "--rm", "--init", "busybox", "sh", "-c", f"{ORPHAN}; true").out.split() == [
        "0"
    ]
    for script, code in (("exit 9", 9), ("kill -9 $$", 137), ("kill -15 $$", 143)):
        assert place.wherry("run", "--rm", "--init", "busybox", "sh", "-c", script).code == code
    missing = place.wherry("run", "--rm", "--init", "busybox", "nosuch")
    assert (missing.code, 'exec: "nosuch": executable file not found in $PATH' in missing.err) == (127, True)
    assert place.wherry("run", "--rm", "--init", "-u", "web", "busybox", "/etc/passwd").code == 126
    place.wherry.ok("run", "-d", "--name", "init", "--init", "busybox", "sleep", "1000")
    place.wherry.ok("stop", "-t", "60", "init")
    assert place.wherry.ok("inspect", "-f", "{{.State.ExitCode}}", "init") == "143\n"
    place.wherry.ok("rm", "init")


needs_pids = pytest.mark.skipif("pids" not in tree.usable(), reason="needs cgroups that root may use")


@needs_pids
def test_a_number_of_processes(place: Place) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo $(ls -d /proc/[0-9]* | wc -l)"
    result = place.wherry("run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c", script)
    if not place.is_root:
        assert (result.code, "wherry/" in result.out) == (125, False)
        assert "cgroup" in result.err
        return
    assert "can't fork" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pid", "host"), "--pid host is not supported"),
        (("--ipc=container:x",), "--ipc container:x is not supported"),
        (("--security-opt", "apparmor=docker-default"), "wherry gives a container no AppArmor profile"),
        (("--device", "/dev/null:r"), "a device is given for reading and writing together"),
        (("--cap-add", "EVERYTHING"), "invalid capability --cap-add EVERYTHING"),
        (("--sysctl", "kernel.core_pattern=|/x"), "this setting is the whole machine's"),
        (("--sysctl", "net.core.somaxconn=1", "--network", "host"), "the host's own setting"),
        (("--oom-score-adj", "2000"), "from -1000 to 1000"),
    ],
)
def test_what_is_refused(place: Place, words: tuple[str, ...], message: str) -> None:
    result = place.wherry("run", "--rm", *words, "busybox", "true")
    assert (result.code, message in result.err) == (125, True), result.err


def test_inspect_tells(place: Place) -> None:
    path = profile(place.home, defaultAction="SCMP_ACT_ALLOW")
    words = ["--cap-add", "net_admin", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init"]
    words += [
        "--security-opt",
        f"seccomp={path}",
        "--device",
        "/dev/urandom:/dev/dice",
        "--group-add",
        "extra",
    ]
    place.wherry.ok("create", "--name", "told", *words, "--sysctl", "kernel.shmmni=5", "busybox")
    try:
        [found] = json.loads(place.wherry.ok("inspect", "told"))
    finally:
        place.wherry("rm", "told")
    facts = found["HostConfig"]
    assert (facts["CapAdd"], facts["CapDrop"], facts["Privileged"]) == (["CAP_NET_ADMIN"], ["ALL"], False)
    assert facts["SecurityOpt"] == ["no-new-privileges", f"seccomp={path.read_text()}"]
    assert [device["PathInContainer"] for device in facts["Devices"]] == ["/dev/dice"]
    assert (facts["Sysctls"], facts["GroupAdd"], facts["Init"]) == ({"kernel.shmmni": "5"}, ["extra"], True)
    assert "/proc/kcore" in facts["MaskedPaths"]
