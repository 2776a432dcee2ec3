"""The built-in runtime, really running things in a small root filesystem of busybox."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from wherry.base.errors import WherryError
from wherry.runtime.mounts import remove_created
from wherry.runtime.native import ExecFailed, Native, Running
from wherry.runtime.spec import Container, Limit, Mount, Process, User

BUSYBOX = "/bin/busybox"
DOCKER_CAPABILITIES = "00000000a80425fb"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root; an ordinary user's way is tested from there"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="needs the package busybox-static"),
]


class Result(NamedTuple):
    code: int
    output: str
    running: Running


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    with Native() as runtime:
        yield runtime


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_rootfs(tmp_path / "rootfs")


def make_rootfs(root: Path) -> Path:
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in subprocess.run(
        [BUSYBOX, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    os.chmod(root, 0o755)
    return root


def run(
    native: Native,
    rootfs: Path,
    *args: str,
    ready: Callable[[int], None] | None = None,
    container: dict[str, Any] | None = None,
    **process: Any,
) -> Result:
    """Run a command; what it wrote to stdout and stderr together."""
    described = Container("test", str(rootfs), Process(args, **process))._replace(**(container or {}))
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        running = native.start(described, null, write, write, ready)
    finally:
        os.close(write)
        os.close(null)
    with os.fdopen(read, errors="replace") as pipe:
        output = pipe.read()
    return Result(running.wait(), output, running)


def sh(native: Native, rootfs: Path, script: str, **options: Any) -> Result:
    return run(native, rootfs, "sh", "-c", script, **options)


# -- commands and their ends


def test_output_and_exit_code(native: Native, rootfs: Path) -> None:
    result = sh(native, rootfs, "echo out; echo err >&2; exit 3")
    assert (result.code, result.output) == (3, "out\nerr\n")
    assert result.running.wait() == 3
    result.running.kill()  # after the end: nothing happens


def test_a_signal_is_128_and_its_number(native: Native, rootfs: Path) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    running = native.start(Container("c", str(rootfs), Process(("sleep", "100"))), null, null, null)
    os.close(null)
    assert not running.ended()
    running.kill(signal.SIGKILL)
    assert running.ended(5)
    assert running.wait() == 137


def test_a_command_ends_with_all_of_its_children(native: Native, rootfs: Path) -> None:
    result = sh(native, rootfs, "sleep 987651 & sleep 987651 & echo started")
    assert result.output == "started\n"
    assert processes("987651") == []


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
    native: Native, rootfs: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    for name, content in (("garbage", "\0\0"), ("script", "#!/no/interpreter\n")):
        (rootfs / "tmp" / name).write_text(content)
        (rootfs / "tmp" / name).chmod(0o755)
    with pytest.raises(ExecFailed) as caught:
        run(native, rootfs, *args)
    assert (caught.value.exit_code, caught.value.message) == (code, message)


def test_the_user_is_who_looks_the_command_up(native: Native, rootfs: Path) -> None:
    shutil.copy(BUSYBOX, rootfs / "tmp/private")
    (rootfs / "tmp/private").chmod(0o700)
    with pytest.raises(ExecFailed) as caught:
        run(native, rootfs, "/tmp/private", user=User(1000, 1000))
    assert caught.value.exit_code == 126


def test_the_working_directory(native: Native, rootfs: Path) -> None:
    assert run(native, rootfs, "pwd", cwd="/tmp").output == "/tmp\n"
    with pytest.raises(ExecFailed, match="cannot enter the working directory /nope: no such file") as caught:
        run(native, rootfs, "pwd", cwd="/nope")
    assert caught.value.exit_code == 127


@pytest.mark.parametrize("number", range(3, 12))
def test_the_working_directory_is_no_leaked_descriptor(native: Native, rootfs: Path, number: int) -> None:
    """CVE-2024-21626."""
    with pytest.raises(WherryError, match="cannot enter the working directory"):
        run(native, rootfs, "pwd", cwd=f"/proc/self/fd/{number}")


def test_a_folder_that_only_its_user_may_enter(native: Native, rootfs: Path) -> None:
    (rootfs / "home").mkdir(mode=0o700)
    os.chown(rootfs / "home", 1000, 1000)
    without = tuple(name for name in Process(("x",)).capabilities if not name.startswith("CAP_DAC"))
    result = run(native, rootfs, "pwd", cwd="/home", user=User(1000, 1000), capabilities=without)
    assert result.output == "/home\n"


def test_several_at_once(native: Native, rootfs: Path) -> None:
    codes: dict[int, int] = {}

    def one(number: int) -> None:
        codes[number] = sh(native, rootfs, f"sleep 0.5; exit {number}").code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {number: number for number in range(8)}
    assert time.monotonic() - started < 3


# -- what the process sees


def test_namespaces_are_its_own(native: Native, rootfs: Path) -> None:
    result = sh(
        native,
        rootfs,
        "echo $$; hostname; for n in /proc/self/ns/*; do readlink $n; done",
        container={"hostname": "box"},
    )
    lines = result.output.split()
    assert lines[:2] == ["1", "box"]
    theirs = dict(line.split(":", 1) for line in lines[2:])
    for kind in ("pid", "mnt", "ipc", "uts", "cgroup"):
        assert theirs[kind] != os.readlink(f"/proc/self/ns/{kind}").split(":", 1)[1]
    for kind in ("net", "user"):
        assert theirs[kind] == os.readlink(f"/proc/self/ns/{kind}").split(":", 1)[1]


def test_docker_s_capabilities_for_root(native: Native, rootfs: Path) -> None:
    status = read_status(run(native, rootfs, "cat", "/proc/self/status").output)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == DOCKER_CAPABILITIES
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "0"
    assert int(status["SigIgn"], 16) == int(status["SigBlk"], 16) == 0
    assert status["Umask"] == "0022"


def test_a_user_has_no_capabilities(native: Native, rootfs: Path) -> None:
    user = User(1000, 1001, (1001, 5))
    status = read_status(run(native, rootfs, "cat", "/proc/self/status", user=user).output)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
    assert status["CapBnd"] == DOCKER_CAPABILITIES
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["5", "1001"]


def test_no_new_privileges_and_limits(native: Native, rootfs: Path) -> None:
    limits = (Limit("RLIMIT_NOFILE", 64, 100), Limit("RLIMIT_CORE", 0, 0))
    script = "ulimit -n; ulimit -Hn; ulimit -c; grep NoNewPrivs /proc/self/status"
    result = sh(native, rootfs, script, limits=limits, no_new_privileges=True)
    assert result.output.split() == ["64", "100", "0", "NoNewPrivs:", "1"]


def test_the_environment_is_the_one_given(native: Native, rootfs: Path) -> None:
    env = ("PATH=/bin", "A=b=c", "EMPTY=", "CAF\udce9=\udcff")
    result = run(native, rootfs, "env", env=env)
    assert sorted(result.output.split("\n")) == sorted(
        ["", "PATH=/bin", "A=b=c", "EMPTY=", "CAF\ufffd=\ufffd"]
    )


def test_a_large_request(native: Native, rootfs: Path) -> None:
    env = ("PATH=/bin", *(f"V{number}={'x' * 100_000}" for number in range(10)))
    assert sh(native, rootfs, "echo ${#V0} ${#V9}", env=env).output == "100000 100000\n"


def test_no_descriptor_is_inherited(native: Native, rootfs: Path) -> None:
    leaked = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        result = sh(native, rootfs, "echo /proc/self/fd/*")
    finally:
        os.close(leaked)
    numbers = {name.rpartition("/")[2] for name in result.output.split()}
    assert numbers <= {"0", "1", "2", "3"}  # 3: the shell reads the folder


def test_a_user_opens_its_own_output_again(native: Native, rootfs: Path) -> None:
    result = sh(native, rootfs, "echo again > /dev/stdout", user=User(1000, 1000))
    assert (result.code, result.output) == (0, "again\n")


# -- what it must not see or touch


def test_proc_and_sys_are_guarded(native: Native, rootfs: Path) -> None:
    script = """
        wc -c < /proc/keys; ls /sys/firmware | wc -l
        (echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo refused
        (echo b > /proc/sysrq-trigger) 2>/dev/null || echo refused
        mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused
        mount -t tmpfs none /tmp 2>/dev/null || echo refused
        umount /proc/keys 2>/dev/null || echo refused
    """
    assert sh(native, rootfs, script).output.split() == ["0", "0", *["refused"] * 5]


def test_devices(native: Native, rootfs: Path) -> None:
    script = """
        cd /dev; ls -d null zero full random urandom tty fd stdin stdout stderr ptmx pts shm mqueue | wc -w
        echo gone > null; head -c 3 zero | wc -c; (echo x > full) 2>/dev/null || echo full
        stat -c %a shm
    """
    assert sh(native, rootfs, script).output.split() == ["14", "3", "full", "1777"]


def test_device_nodes_can_be_made_and_not_opened(native: Native, rootfs: Path, tmp_path: Path) -> None:
    """Docker's device cgroup does this there; the memory device stands for the host's disk."""
    (tmp_path / "volume").mkdir()
    script = """
        for folder in / /dev /dev/shm /tmp /volume; do
            mknod $folder/port c 1 4 2>/dev/null
            (: < $folder/port) 2>/dev/null && echo opened $folder
        done; ls -l /port | cut -c 1
    """
    container = {"mounts": (Mount("bind", str(tmp_path / "volume"), "/volume"),)}
    assert sh(native, rootfs, script, container=container).output.split() == ["c"]


def test_the_host_s_files_and_processes_are_out_of_reach(native: Native, rootfs: Path) -> None:
    script = "ls /.. | wc -l; wc -l < /proc/1/root/etc/passwd; ls /proc > /tmp/all; grep -c '^[0-9]' /tmp/all"
    assert sh(native, rootfs, script).output.split() == ["6", "2", "2"]  # 2: sh and ls


def test_the_seccomp_profile(native: Native, rootfs: Path) -> None:
    script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused"
    for user in (User(), User(1000, 1000)):
        assert sh(native, rootfs, script, user=user).output.split() == ["Seccomp:", "2", "refused"]
        free = sh(native, rootfs, script, container={"seccomp": False}, user=user)
        assert free.output.split() == ["Seccomp:", "0"]


def test_a_read_only_root(native: Native, rootfs: Path) -> None:
    script = "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo written"
    result = sh(native, rootfs, script, container={"read_only": True})
    assert result.output.split() == ["refused", "written"]
    assert not (rootfs / "x").exists()


# -- network


def test_no_network_but_loopback(native: Native, rootfs: Path) -> None:
    result = sh(native, rootfs, "ip -o link; ip -o addr", container={"network": "none"})
    assert {line.split()[1].rstrip(":") for line in result.output.splitlines()} == {"lo"}
    assert "127.0.0.1/8" in result.output


def test_a_user_may_bind_a_low_port_in_its_own_network(native: Native, rootfs: Path) -> None:
    script = "nc -l -p 80 & sleep 0.2; grep -c :0050 /proc/net/tcp6 /proc/net/tcp | grep -c :1"
    result = sh(native, rootfs, script, container={"network": "private"}, user=User(1000, 1000))
    assert result.output.strip() == "1"


def test_ready_comes_between_namespaces_and_command(native: Native, rootfs: Path) -> None:
    seen = []

    def ready(pid: int) -> None:
        seen.append(os.readlink(f"/proc/{pid}/ns/net"))
        (rootfs / "made-by-ready").touch()

    container = {"network": "private"}
    result = sh(native, rootfs, "readlink /proc/self/ns/net; ls /made*", ready=ready, container=container)
    assert result.output.split() == [*seen, "/made-by-ready"]
    assert seen[0] != os.readlink("/proc/self/ns/net")


def test_a_failing_ready_leaves_nothing(native: Native, rootfs: Path) -> None:
    pids: list[int] = []

    def ready(pid: int) -> None:
        pids.append(pid)
        raise WherryError("no network")

    with pytest.raises(WherryError, match="no network"):
        sh(native, rootfs, "touch /ran", ready=ready)
    assert not os.path.exists(f"/proc/{pids[0]}")
    assert not (rootfs / "ran").exists()


# -- mounts


def test_bind_and_tmpfs(native: Native, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("content\n")
    mounts = (
        Mount("bind", str(tmp_path / "folder"), "/ro", ("ro",)),
        Mount("bind", str(tmp_path / "folder"), "/rw"),
        Mount("bind", str(tmp_path / "folder/file"), "/etc/motd", ("ro",)),
        Mount("tmpfs", "", "/t", ("size=64k", "mode=1700")),
    )
    script = """
        cat /ro/file /etc/motd; (echo x > /ro/new) 2>/dev/null || echo refused; echo x > /rw/new
        stat -c %a /t; dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null || echo full
    """
    result = sh(native, rootfs, script, container={"mounts": mounts})
    assert result.output.split() == ["content", "content", "refused", "1700", "full"]
    assert (tmp_path / "folder/new").read_text() == "x\n"


def test_a_read_only_bind_is_so_all_the_way_down(native: Native, rootfs: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    mounts = (
        Mount("bind", str(outer), "/a"),
        Mount("tmpfs", "", "/a/inner"),
        Mount("bind", "/dev/shm", "/b", ("ro",)),
    )
    result = sh(native, rootfs, "touch /b/x 2>/dev/null || echo refused", container={"mounts": mounts})
    assert result.output.split() == ["refused"]


def test_mount_points_are_reported_and_can_be_unmade(native: Native, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = {path: path.lstat().st_mtime_ns for path in (rootfs, rootfs / "etc")}
    mounts = (
        Mount("tmpfs", "", "/root/.cache/pip"),
        Mount("bind", str(tmp_path / "file"), "/etc/new"),
        Mount("bind", str(tmp_path / "file"), "/dev/.wherry/ca.crt"),
    )
    result = sh(native, rootfs, "cat /etc/new /dev/.wherry/ca.crt", container={"mounts": mounts})
    assert result.output == "xx"
    assert [item.path for item in result.running.created] == [
        "/root",
        "/root/.cache",
        "/root/.cache/pip",
        "/etc/new",
    ]
    remove_created(str(rootfs), result.running.created)
    assert not (rootfs / "root").exists()
    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_a_link_in_the_image_cannot_redirect_a_mount(native: Native, rootfs: Path) -> None:
    """CVE-2019-16884 and its kin: the target is looked up inside the root."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside:
        (rootfs / "evil").symlink_to(outside)
        (rootfs / "up").symlink_to("../../../.." + outside)
        mounts = (Mount("tmpfs", "", "/evil/a"), Mount("tmpfs", "", "/up/b"))
        result = sh(native, rootfs, f"grep -c ' {outside}/[ab] ' /proc/mounts", container={"mounts": mounts})
        assert result.output.strip() == "2"
        assert os.listdir(outside) == []
        assert sorted(os.listdir(rootfs / outside.lstrip("/"))) == ["a", "b"]
        remove_created(str(rootfs), result.running.created)
        assert not (rootfs / "var").exists()


def test_links_that_lead_in_circles(native: Native, rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b/x")
    (rootfs / "b").symlink_to("a/x")
    with pytest.raises(WherryError, match="cannot mount tmpfs on /a/x: Too many levels"):
        run(native, rootfs, "true", container={"mounts": (Mount("tmpfs", "", "/a/x"),)})


def test_proc_as_a_link_is_refused_or_stays_inside(native: Native, rootfs: Path) -> None:
    """CVE-2019-19921: an image whose /proc is a link must not get the mounts' guards lifted."""
    (rootfs / "proc").rmdir()
    (rootfs / "elsewhere").mkdir()
    (rootfs / "proc").symlink_to("elsewhere")
    result = sh(native, rootfs, "(echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo refused")
    assert result.output.split() == ["refused"]


def test_a_file_over_a_dangling_link_makes_nothing(native: Native, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (rootfs / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    mounts = (Mount("bind", str(tmp_path / "resolv.conf"), "/etc/resolv.conf"),)
    result = run(native, rootfs, "cat", "/etc/resolv.conf", container={"mounts": mounts})
    assert result.output == "nameserver 192.0.2.1\n"
    assert result.running.created == ()
    assert not (rootfs / "run").exists()


def test_a_source_inside_a_root_stays_there(native: Native, rootfs: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    (stage / "etc").mkdir(parents=True)
    (stage / "etc/hostname").write_text("stage\n")
    (stage / "link").symlink_to("/etc/hostname")
    mounts = (Mount("bind", "link", "/etc/seen", ("ro",), root=str(stage)),)
    assert run(native, rootfs, "cat", "/etc/seen", container={"mounts": mounts}).output == "stage\n"
    escape = (Mount("bind", "../../../../../../etc/passwd", "/etc/seen", root=str(stage)),)
    with pytest.raises(WherryError, match=r"cannot mount .*: No such file or directory"):
        run(native, rootfs, "true", container={"mounts": escape})


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (Mount("bind", "/no/such", "/x"), "cannot mount /no/such on /x: No such file or directory"),
        (Mount("bind", "/etc/passwd", "/tmp"), "cannot mount a file on a folder: /tmp"),
        (Mount("bind", "/etc", "/etc/passwd"), "cannot mount a folder on a file: /etc/passwd"),
        (Mount("bind", "/etc", "/x", ("size=3",)), "a bind mount has no option 'size'"),
        (Mount("tmpfs", "", "/x", ("color=red",)), "cannot mount tmpfs on /x: .*color"),
    ],
)
def test_mounts_that_fail_say_why(native: Native, rootfs: Path, mount: Mount, message: str) -> None:
    with pytest.raises(WherryError, match=message):
        run(native, rootfs, "true", container={"mounts": (mount,)})


def test_nothing_stays_mounted(native: Native, rootfs: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    sh(native, rootfs, "true", container={"mounts": (Mount("tmpfs", "", "/t"),)})
    assert Path("/proc/self/mounts").read_text() == before
    shutil.rmtree(rootfs)


# -- terminal


def test_a_terminal(native: Native, rootfs: Path) -> None:
    script = (
        "test -t 0 && test -t 1 && test -t 2 && tty; read line; stty size; echo got $line; ls /dev/console"
    )
    process = Process(("sh", "-c", script), terminal=True, user=User(1000, 1000))
    running = native.start(Container("c", str(rootfs), process), 0, 1, 2)
    import fcntl
    import termios

    fcntl.ioctl(running.console, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
    os.write(running.console, b"word\n")
    output = read_terminal(running.console)
    assert running.wait() == 0
    assert output.replace("\r", "").splitlines()[0] in ("word", "/dev/pts/0", "/dev/console")
    assert "33 99" in output
    assert "got word" in output


def test_the_terminal_s_interrupt_reaches_the_command(native: Native, rootfs: Path) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    running = native.start(Container("c", str(rootfs), Process(("sh", "-c", script), terminal=True)), 0, 1, 2)
    assert os.read(running.console, 100).strip() == b"ready"
    os.write(running.console, b"\x03")
    assert "caught" in read_terminal(running.console)
    assert running.wait() == 9


# -- the helper's end


SLEEPERS = """
import os, sys, time
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


@pytest.mark.parametrize("ending", ["kill", "close", "helper"])
def test_nothing_survives(rootfs: Path, ending: str) -> None:
    mark = str(987_000 + os.getpid() % 1000)
    command = [sys.executable, "-c", SLEEPERS, str(rootfs), mark]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout and parent.stdout.readline() == "started\n"
        wait_until(lambda: len([pid for pid in processes(mark) if pid != parent.pid]) >= 6)
        if ending == "helper":
            (helper,) = children(parent.pid)
            os.kill(helper, signal.SIGKILL)
            wait_until(lambda: processes(mark) == [parent.pid])
        parent.send_signal(signal.SIGKILL if ending == "kill" else signal.SIGTERM)
        parent.wait()
    wait_until(lambda: processes(mark) == [])


def test_closing_ends_every_container(rootfs: Path) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    with Native() as runtime:
        running = runtime.start(Container("c", str(rootfs), Process(("sleep", "986543"))), null, null, null)
    os.close(null)
    assert processes("986543") == []
    assert running.wait() == 137


def test_a_helper_that_was_killed_is_reported(rootfs: Path) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    described = Container("c", str(rootfs), Process(("sleep", "986544")))
    with Native() as runtime:
        running = runtime.start(described, null, null, null)
        helper = [pid for pid in children(os.getpid()) if running.pid in descendants(pid)]
        os.kill(helper[0], signal.SIGKILL)
        assert running.wait() == 137
        with pytest.raises(WherryError, match=r"helper process .* has ended"):
            runtime.start(described, null, null, null)
    os.close(null)


# -- as an ordinary user


USER_ID, FIRST_SUBID = 12345, 3_000_000

AS_USER = """
import os, sys
from wherry.base.errors import WherryError
from wherry.runtime import idmap
from wherry.runtime.native import Native
from wherry.runtime.spec import Container, Process, User
try:
    mode = idmap.enter()
    assert mode is idmap.enter() and mode.name == "userns", mode
    with Native() as runtime:
        for user in (User(), User(1000, 1000, (1000, 50))):
            script = "id -u; id -G; touch /tmp/by-$(id -u); grep CapBnd /proc/self/status; echo x > /dev/null"
            script += "; test $(id -u) != 0 || chown 33:44 /tmp/by-0 /etc/owned"
            process = Process(("sh", "-c", script), user=user)
            for network in ("host", "none"):
                code = runtime.start(Container("c", sys.argv[1], process, network=network), 0, 1, 2).wait()
                assert code == 0, code
except WherryError as error:
    print(error.message)
    print(error.hint)
    sys.exit(9)
"""


def as_user(script: str, rootfs: Path, subids: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user made for it: passwd, subuid and subgid are mounted over in a namespace only."""
    files = {
        "passwd": Path("/etc/passwd").read_text() + f"barge:x:{USER_ID}:{USER_ID}::/:/bin/sh\n",
        "group": Path("/etc/group").read_text() + f"barge:x:{USER_ID}:\n",
        "subuid": subids,
        "subgid": subids,
    }
    shell = open_way(sys.base_prefix)
    for name, content in files.items():
        (rootfs.parent / name).write_text(content)
        shell += f"[ -e /etc/{name} ] || touch /etc/{name}; mount --bind {rootfs.parent}/{name} /etc/{name};"
    shell += f'exec setpriv --reuid {USER_ID} --regid {USER_ID} --clear-groups "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec", shell, "sh", sys.executable, "-c", script, str(rootfs)],
        capture_output=True,
        text=True,
        check=False,
    )


def open_way(folder: str) -> str:
    """Shell commands that let others reach `folder`, an interpreter in /root for one, in this namespace."""
    closed = [path for path in Path(folder).resolve().parents if not path.stat().st_mode & 0o001]
    if not closed:
        return ""
    return f"""
        place=$(mktemp -d); mount --bind {folder} $place; mount -t tmpfs -o mode=755 none {closed[-1]}
        mkdir -p {folder}; mount --bind $place {folder}; umount $place; rmdir $place
    """


@pytest.fixture
def user_rootfs() -> Iterator[Path]:
    """A root filesystem that an ordinary user can reach and owns."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        rootfs = make_rootfs(Path(folder) / "rootfs")
        for path in (rootfs, *rootfs.rglob("*")):
            os.chown(path, USER_ID, USER_ID, follow_symlinks=False)
        (rootfs / "etc/owned").touch()
        os.chown(rootfs / "etc/owned", FIRST_SUBID + 32, FIRST_SUBID + 43)
        (rootfs / "tmp").chmod(0o1777)
        yield rootfs


@pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs the package uidmap")
def test_an_ordinary_user_with_subordinate_ids(user_rootfs: Path) -> None:
    done = as_user(AS_USER, user_rootfs, f"other:1:1\nbarge:{FIRST_SUBID}:65536\n")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    expected = ["0", "0", "CapBnd:", DOCKER_CAPABILITIES] * 2
    expected += ["1000", "1000", "50", "CapBnd:", DOCKER_CAPABILITIES] * 2
    assert done.stdout.split() == expected
    owner = (user_rootfs / "tmp/by-1000").stat()
    assert (owner.st_uid, owner.st_gid) == (FIRST_SUBID + 999, FIRST_SUBID + 999)
    changed = (user_rootfs / "tmp/by-0").stat()
    assert (changed.st_uid, changed.st_gid) == (FIRST_SUBID + 32, FIRST_SUBID + 43)


@pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs the package uidmap")
def test_an_ordinary_user_without_subordinate_ids_is_told_what_to_do(user_rootfs: Path) -> None:
    done = as_user(AS_USER, user_rootfs, "other:200000:65536\n")
    assert (done.returncode, done.stderr) == (9, "")
    assert done.stdout.splitlines() == [
        "/etc/subuid gives no subordinate ids to the user barge",
        "sudo usermod --add-subuids 265536-331071 --add-subgids 265536-331071 barge",
    ]


def test_enter_wants_a_single_thread() -> None:
    script = """
import threading, time
from wherry.runtime import idmap
threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
try:
    idmap.enter()
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "before any thread" in done.stdout


# -- looking at processes


def processes(mark: str) -> list[int]:
    """Processes of this machine with `mark` among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(mark.encode() in argument for argument in arguments):
                found.append(int(name))
    return found


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    direct = children(pid)
    return direct + [deeper for child in direct for deeper in descendants(child)]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def read_terminal(console: int) -> str:
    """All that the terminal shows until its last user has gone (EIO)."""
    parts = []
    try:
        while part := os.read(console, 4096):
            parts.append(part)
    except OSError:
        pass
    os.close(console)
    return b"".join(parts).decode()
