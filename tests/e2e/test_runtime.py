"""The built-in runtime: commands, what they see, and what they must not see or touch."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from support.hosts import Host
from support.running import (
    BUSYBOX,
    DOCKER_CAPABILITIES,
    children,
    descendants,
    processes,
    read_status,
    run,
    sh,
    start,
    unique,
)
from wherry.base.errors import WherryError
from wherry.runtime.helper import ExecFailed
from wherry.runtime.native import Native
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Limit, Mount, Process, User

pytestmark = pytest.mark.needs("root", "busybox")


# -- commands and their ends


def test_output_and_exit_code(runtime: Runtime, rootfs: Path) -> None:
    result = sh(runtime, rootfs, "echo out; echo err >&2; exit 3")
    assert (result.code, result.output) == (3, "out\nerr\n")
    assert result.running.wait() == 3
    result.running.kill()  # after the end: nothing happens


def test_a_signal_is_128_and_its_number(runtime: Runtime, rootfs: Path) -> None:
    running = start(runtime, rootfs, "sleep", "100")
    assert not running.ended()
    running.kill(signal.SIGKILL)
    assert running.ended(5)
    assert running.wait() == 137


def test_a_command_ends_with_all_of_its_children(runtime: Runtime, rootfs: Path) -> None:
    mark = unique()
    result = sh(runtime, rootfs, f"sleep {mark} & sleep {mark} & echo started")
    assert result.output == "started\n"
    assert processes(mark) == []


def test_a_container_that_nobody_waits_for(runtime: Runtime, rootfs: Path) -> None:
    """Its report goes to a closed pipe; the helper goes on."""
    abandoned = start(runtime, rootfs, "sleep", "0.1")
    os.close(abandoned.fileno())
    assert sh(runtime, rootfs, "sleep 0.3; exit 5").code == 5


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nope",), 127, 'exec: "nope": executable file not found in $PATH'),
        (("/nope",), 127, 'exec: "/nope": stat /nope: no such file or directory'),
        (("/etc/passwd/x",), 126, 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory'),
        (("/etc",), 126, 'exec: "/etc": is a directory'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
        (("/tmp/garbage",), 126, "exec /tmp/garbage: exec format error"),
        (("/tmp/script",), 127, "exec /tmp/script: no such file or directory"),
    ],
)
def test_what_cannot_be_executed(
    host: Host, runtime: Runtime, rootfs: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    for name, content in (("garbage", "\0\0"), ("script", "#!/no/interpreter\n")):
        (rootfs / "tmp" / name).write_text(content)
        (rootfs / "tmp" / name).chmod(0o755)
    if not host.is_native and args[0].startswith("/tmp"):
        assert run(runtime, rootfs, *args).code  # they find out after the start
        return
    with pytest.raises(ExecFailed) as caught:
        run(runtime, rootfs, *args)
    assert caught.value.exit_code == code
    assert not host.is_native or caught.value.message == message


def test_the_user_is_who_looks_the_command_up(host: Host, runtime: Runtime, rootfs: Path) -> None:
    shutil.copy(BUSYBOX, rootfs / "tmp/private")
    (rootfs / "tmp/private").chmod(0o700)
    if host.program == "crun":  # finds out after the start
        assert run(runtime, rootfs, "/tmp/private", user=User(1000, 1000)).code
        return
    with pytest.raises(ExecFailed) as caught:
        run(runtime, rootfs, "/tmp/private", user=User(1000, 1000))
    assert caught.value.exit_code == 126


def test_the_working_directory(host: Host, runtime: Runtime, rootfs: Path) -> None:
    assert run(runtime, rootfs, "pwd", cwd="/tmp").output == "/tmp\n"
    if not host.is_native:
        return  # the others make the folder
    with pytest.raises(ExecFailed, match="cannot enter the working directory /nope: no such file") as caught:
        run(runtime, rootfs, "pwd", cwd="/nope")
    assert caught.value.exit_code == 127


@pytest.mark.parametrize("number", range(3, 12))
def test_the_working_directory_is_no_leaked_descriptor(runtime: Runtime, rootfs: Path, number: int) -> None:
    """CVE-2024-21626."""
    with pytest.raises(WherryError, match=r"working directory|cwd|/proc/self/fd|chdir"):
        run(runtime, rootfs, "pwd", cwd=f"/proc/self/fd/{number}")


def test_a_folder_that_only_its_user_may_enter(runtime: Runtime, rootfs: Path) -> None:
    (rootfs / "home").mkdir(mode=0o700)
    os.chown(rootfs / "home", 1000, 1000)
    without = tuple(name for name in Process(("x",)).capabilities if not name.startswith("CAP_DAC"))
    result = run(runtime, rootfs, "pwd", cwd="/home", user=User(1000, 1000), capabilities=without)
    assert result.output == "/home\n"


def test_several_at_once(runtime: Runtime, rootfs: Path) -> None:
    """None ends before all of them run; where one waited for another's end, they give up in a minute."""
    codes: dict[int, int] = {}
    meet = "n=0; until [ $(ls /tmp | wc -l) = 8 ]; do n=$((n + 1)); [ $n = 600 ] && exit 99; sleep 0.1; done"

    def one(number: int) -> None:
        codes[number] = sh(runtime, rootfs, f"touch /tmp/{number}; {meet}; exit {number}").code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {number: number for number in range(8)}


# -- what the process sees


def test_namespaces_are_its_own(host: Host, runtime: Runtime, rootfs: Path) -> None:
    result = sh(
        runtime,
        rootfs,
        "echo $$; hostname; for n in /proc/self/ns/*; do readlink $n; done",
        container={"hostname": "box"},
    )
    lines = result.output.split()
    assert lines[:2] == ["1", "box"]
    theirs = dict(line.split(":", 1) for line in lines[2:])
    for kind in ("pid", "mnt", "ipc", "uts", "cgroup"):
        assert theirs[kind] != os.readlink(f"/proc/self/ns/{kind}").split(":", 1)[1]
    for kind in ("net", "user") if host.is_root else ("net",):
        assert theirs[kind] == os.readlink(f"/proc/self/ns/{kind}").split(":", 1)[1]


def capabilities(host: Host) -> str:
    """Without cgroups nothing but this keeps crun's containers from opening the host's devices."""
    return "00000000a00425fb" if host.is_root and host.program == "crun" else DOCKER_CAPABILITIES


def test_docker_s_capabilities_for_root(host: Host, runtime: Runtime, rootfs: Path) -> None:
    status = read_status(run(runtime, rootfs, "cat", "/proc/self/status").output)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == capabilities(host)
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "0"
    assert not host.is_native or int(status["SigIgn"], 16) == 0  # Go leaves one of its C library's
    assert int(status["SigBlk"], 16) == 0
    assert status["Umask"] == "0022"


def test_a_user_has_no_capabilities(host: Host, runtime: Runtime, rootfs: Path) -> None:
    user = User(1000, 1001, (1001, 5))
    status = read_status(run(runtime, rootfs, "cat", "/proc/self/status", user=user).output)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
    assert status["CapBnd"] == capabilities(host)
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["5", "1001"]


def test_no_new_privileges_and_limits(runtime: Runtime, rootfs: Path) -> None:
    limits = (Limit("RLIMIT_NOFILE", 64, 100), Limit("RLIMIT_CORE", 0, 0))
    script = "ulimit -n; ulimit -Hn; ulimit -c; grep NoNewPrivs /proc/self/status"
    result = sh(runtime, rootfs, script, limits=limits, no_new_privileges=True)
    assert result.output.split() == ["64", "100", "0", "NoNewPrivs:", "1"]


def test_the_environment_is_the_one_given(host: Host, runtime: Runtime, rootfs: Path) -> None:
    env = ["PATH=/bin", "A=b=c", "EMPTY=", "CAF\xe9=\u20ac"]
    foreign = ["CAF\udce9=\udcff"] if host.is_native else []  # JSON has no such words: test_runtime_oci.py
    result = run(runtime, rootfs, "/bin/busybox", "env", env=(*env, *foreign))
    shown = {item.encode(errors="surrogateescape").decode(errors="replace") for item in (*env, *foreign)}
    given = set(result.output.strip("\n").split("\n"))
    assert given - {"HOME=/root"} == shown, given  # crun and runc look the home up


def test_a_large_request(runtime: Runtime, rootfs: Path) -> None:
    env = ("PATH=/bin", *(f"V{number}={'x' * 100_000}" for number in range(10)))
    assert sh(runtime, rootfs, "echo ${#V0} ${#V9}", env=env).output == "100000 100000\n"


def test_no_descriptor_is_inherited(runtime: Runtime, rootfs: Path) -> None:
    leaked = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        result = sh(runtime, rootfs, "echo /proc/self/fd/*")
    finally:
        os.close(leaked)
    numbers = {name.rpartition("/")[2] for name in result.output.split()}
    assert numbers <= {"0", "1", "2", "3"}  # 3: the shell reads the folder


def test_a_user_opens_its_own_output_again(runtime: Runtime, rootfs: Path) -> None:
    result = sh(runtime, rootfs, "echo again > /dev/stdout", user=User(1000, 1000))
    assert (result.code, result.output) == (0, "again\n")


# -- what it must not see or touch


def test_proc_and_sys_are_guarded(runtime: Runtime, rootfs: Path) -> None:
    script = """
        wc -c < /proc/keys; ls /sys/firmware | wc -l
        (echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo refused
        (echo b > /proc/sysrq-trigger) 2>/dev/null || echo refused
        mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused
        mount -t tmpfs none /tmp 2>/dev/null || echo refused
        umount /proc/keys 2>/dev/null || echo refused
    """
    assert sh(runtime, rootfs, script).output.split() == ["0", "0", *["refused"] * 5]


def test_devices(runtime: Runtime, rootfs: Path) -> None:
    script = """
        cd /dev; ls -d null zero full random urandom tty fd stdin stdout stderr ptmx pts shm mqueue | wc -w
        echo gone > null; head -c 3 zero | wc -c; (echo x > full) 2>/dev/null || echo full
        stat -c %a shm
    """
    assert sh(runtime, rootfs, script).output.split() == ["14", "3", "full", "1777"]


def test_device_nodes_can_be_made_and_not_opened(
    host: Host, runtime: Runtime, rootfs: Path, ground: Path
) -> None:
    """Docker's device cgroup does this there; the memory device stands for the host's disk."""
    (ground / "volume").mkdir()
    script = """
        for folder in / /dev /dev/shm /tmp /volume; do
            mknod $folder/port c 1 4 2>/dev/null
            (: < $folder/port) 2>/dev/null && echo opened $folder
        done; ls -l /port 2> /dev/null | cut -c 1
    """
    container = {"mounts": (Mount("bind", str(ground / "volume"), "/volume"),)}
    made = ["c"] if host.is_root and host.program != "crun" else []  # root of a user namespace makes none
    assert sh(runtime, rootfs, script, container=container).output.split() == made


def test_the_host_s_files_and_processes_are_out_of_reach(runtime: Runtime, rootfs: Path) -> None:
    script = "ls /.. | wc -l; wc -l < /proc/1/root/etc/passwd; ls /proc > /tmp/all; grep -c '^[0-9]' /tmp/all"
    assert sh(runtime, rootfs, script).output.split() == ["6", "2", "2"]  # 2: sh and ls


def test_the_seccomp_profile(runtime: Runtime, rootfs: Path) -> None:
    script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused"
    for user in (User(), User(1000, 1000)):
        assert sh(runtime, rootfs, script, user=user).output.split() == ["Seccomp:", "2", "refused"]
        free = sh(runtime, rootfs, script, container={"seccomp": False}, user=user)
        assert free.output.split() == ["Seccomp:", "0"]


def test_a_read_only_root(runtime: Runtime, rootfs: Path) -> None:
    script = "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo written"
    result = sh(runtime, rootfs, script, container={"read_only": True})
    assert result.output.split() == ["refused", "written"]
    assert not (rootfs / "x").exists()


# -- network


def test_no_network_but_loopback(runtime: Runtime, rootfs: Path) -> None:
    result = sh(runtime, rootfs, "ip -o link; ip -o addr", container={"network": "none"})
    assert {line.split()[1].rstrip(":") for line in result.output.splitlines()} == {"lo"}
    assert "127.0.0.1/8" in result.output


def test_a_user_may_bind_a_low_port_in_its_own_network(runtime: Runtime, rootfs: Path) -> None:
    script = "nc -l -p 80 & sleep 0.2; grep -c :0050 /proc/net/tcp6 /proc/net/tcp | grep -c :1"
    result = sh(runtime, rootfs, script, container={"network": "private"}, user=User(1000, 1000))
    assert result.output.strip() == "1"


def test_ready_comes_between_namespaces_and_command(runtime: Runtime, rootfs: Path) -> None:
    seen = []

    def ready(pid: int) -> None:
        seen.append(os.readlink(f"/proc/{pid}/ns/net"))
        (rootfs / "made-by-ready").touch()

    container = {"network": "private"}
    result = sh(runtime, rootfs, "readlink /proc/self/ns/net; ls /made*", ready=ready, container=container)
    assert result.output.split() == [*seen, "/made-by-ready"]
    assert seen[0] != os.readlink("/proc/self/ns/net")


def test_a_failing_ready_leaves_nothing(runtime: Runtime, rootfs: Path) -> None:
    pids: list[int] = []

    def ready(pid: int) -> None:
        pids.append(pid)
        raise WherryError("no network")

    with pytest.raises(WherryError, match="no network"):
        sh(runtime, rootfs, "touch /ran", ready=ready)
    assert not os.path.exists(f"/proc/{pids[0]}")
    assert not (rootfs / "ran").exists()


def test_the_set_up_s_failure_comes_before_ready_s(runtime: Runtime, rootfs: Path) -> None:
    """A network that could not be attached because the container was gone is not the thing to tell."""

    def ready(pid: int) -> None:
        time.sleep(0.2)
        raise WherryError(f"no process {pid}")

    mounts = (Mount("bind", "/no/such", "/x"),)
    with pytest.raises(WherryError, match="cannot mount /no/such"):
        sh(runtime, rootfs, "true", ready=ready, container={"mounts": mounts})


def test_the_terminal_s_signals_do_not_reach_the_helper(native: Native, rootfs: Path) -> None:
    running = start(native, rootfs, "sleep", "100")
    (helper,) = (pid for pid in children(os.getpid()) if running.pid in descendants(pid))
    running.kill()
    assert running.wait() == 137
    assert os.getsid(helper) == helper != os.getsid(0)
