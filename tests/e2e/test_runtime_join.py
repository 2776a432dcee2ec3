"""Another process in a container that runs, through each runtime: what it shares, what it must not give."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.running import DOCKER_CAPABILITIES, read_status, read_terminal, unique, wait_until
from wherry.base.errors import WherryError
from wherry.runtime.helper import ExecFailed, Running
from wherry.runtime.runtime import Runtime
from wherry.runtime.runtimes import open_runtime
from wherry.runtime.spec import Container, Process, User

pytestmark = pytest.mark.needs("root", "busybox")


class Box:
    """A container whose first process runs a shell's `script`."""

    def __init__(self, runtime: Runtime, rootfs: Path, script: str, **container: Any) -> None:
        self.runtime = runtime
        process = Process(("sh", "-c", script))
        self.container = Container("test", str(rootfs), process, hostname="inside", **container)
        null = os.open("/dev/null", os.O_RDWR)
        self.first = runtime.start(self.container, null, null, null)
        os.close(null)

    def join(self, *args: str, ready: Callable[[int], None] | None = None, **process: Any) -> Running:
        null = os.open("/dev/null", os.O_RDWR)
        try:
            stdio = (null, null, null)
            return self.runtime.join(self.container, self.first, Process(args, **process), stdio, ready)
        finally:
            os.close(null)

    def sh(self, script: str, **process: Any) -> tuple[int, str]:
        """Exit code and output of a shell that joins."""
        read, write = os.pipe()
        null = os.open("/dev/null", os.O_RDONLY)
        try:
            described = Process(("sh", "-c", script), **process)
            joined = self.runtime.join(self.container, self.first, described, (null, write, write))
        finally:
            os.close(write)
            os.close(null)
        with os.fdopen(read, errors="replace") as pipe:
            output = pipe.read()
        return joined.wait(), output


@pytest.fixture(params=["native", "crun", "runc"])
def box(request: pytest.FixtureRequest, tmp_path: Path, rootfs: Path) -> Iterator[Callable[..., Box]]:
    if request.param != "native":
        programs.require(request.param)
    with open_runtime(request.param, str(tmp_path)) as runtime:

        def make(script: str = "trap 'exit 4' TERM; while :; do sleep 0.05; done", **container: Any) -> Box:
            return Box(runtime, rootfs, script, **container)

        yield make


def test_it_shares_all_that_the_container_has(box: Callable[..., Box]) -> None:
    made = box(network="none")
    kinds = "mnt pid ipc uts net cgroup"
    code, output = made.sh(f"for kind in {kinds}; do readlink /proc/self/ns/$kind; done; hostname; pwd")
    expected = [os.readlink(f"/proc/{made.first.pid}/ns/{kind}") for kind in kinds.split()]
    assert (code, output.splitlines()) == (0, [*expected, "inside", "/"])
    assert made.sh("tr '\\0' ' ' < /proc/1/cmdline")[1].startswith("sh -c trap")


def test_it_has_no_more_rights_than_the_first_one(box: Callable[..., Box]) -> None:
    made = box()
    mine, first = (read_status(made.sh(f"cat /proc/{pid}/status")[1]) for pid in ("self", "1"))
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp", "NoNewPrivs", "Uid", "Gid"):
        assert mine[key] == first[key], key
    user = read_status(made.sh("cat /proc/self/status", user=User(1000, 1000, (1000, 50)))[1])
    assert (user["Uid"].split()[0], user["CapEff"], user["CapBnd"]) == ("1000", "0" * 16, first["CapBnd"])
    assert user["CapBnd"] in (DOCKER_CAPABILITIES, DOCKER_CAPABILITIES.replace("a80", "a00"))
    assert user["Groups"].split() == ["50", "1000"]


def test_no_descriptor_but_its_own_three(box: Callable[..., Box]) -> None:
    assert box().sh("ls /proc/self/fd; ls -l /proc/self/fd | grep -c /dev/null")[1].split()[:4] == list(
        "0123"
    )


def test_a_descriptor_as_the_working_folder(box: Callable[..., Box], rootfs: Path, tmp_path: Path) -> None:
    """CVE-2024-21626: by its number, by a link of the container's, and by the first process's."""
    (tmp_path / "treasure").write_text("secret")
    made = box()
    out = "../" * 20 + str(tmp_path)
    for number in range(3, 16):
        (rootfs / f"link{number}").symlink_to(f"/proc/self/fd/{number}")
        for folder in (f"/proc/self/fd/{number}", f"/link{number}", f"/proc/1/fd/{number}"):
            try:
                assert made.sh(f"cat {out}/treasure; ls {rootfs}", cwd=folder)[0] != 0
            except ExecFailed as error:
                assert "cannot enter the working directory" in error.message
    within = f"/proc/1/cwd/{out}"
    with pytest.raises(ExecFailed, match="cannot enter the working directory"):
        made.sh("pwd", cwd=within)


def test_exit_codes_and_signals(box: Callable[..., Box]) -> None:
    made = box()
    assert made.sh("exit 7")[0] == 7
    assert made.sh("kill -SEGV $$")[0] == 128 + signal.SIGSEGV
    joined = made.join("sleep", unique())
    joined.kill(signal.SIGTERM)
    assert joined.wait() == 128 + signal.SIGTERM
    for args, code in ((("no-such",), 127), (("/etc/passwd",), 126), (("/etc",), 126)):
        with pytest.raises(ExecFailed) as failed:
            made.join(*args)
        assert failed.value.exit_code == code
    with pytest.raises(ExecFailed, match="working directory /none"):
        made.join("true", cwd="/none")


def test_it_ends_with_the_container(box: Callable[..., Box]) -> None:
    made = box()
    joined = made.join("sleep", unique())
    made.first.kill()
    assert joined.wait() == 128 + signal.SIGKILL
    made.first.wait()
    with pytest.raises(WherryError, match="has ended"):
        made.join("true")


def test_ready_comes_before_the_command(box: Callable[..., Box]) -> None:
    made, seen = box(), []

    def ready(pid: int) -> None:
        seen.append(Path(f"/proc/{pid}/status").read_text())

    assert made.join("touch", "/tmp/done", ready=ready).wait() == 0
    # Not in the container's pid namespace yet: two numbers, of the machine and of the helper.
    assert len(read_status(seen[0])["NSpid"].split()) == 2


def test_a_terminal_of_the_container_s(box: Callable[..., Box]) -> None:
    made = box()
    joined = made.join("sh", "-c", "tty; stty size; exit 3", terminal=True)
    text = read_terminal(joined.console)
    assert text.startswith("/dev/pts/")
    assert joined.wait() == 3


HOSTILE = "while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("preparation", "terminal"),
    [
        ("umount -l /dev/null; rm -f /dev/null; mkfifo /dev/null", False),
        ("mount -t tmpfs none /dev/pts; mkfifo /dev/pts/ptmx", True),
    ],
)
def test_a_pipe_in_place_of_a_device_stops_nobody(
    tmp_path: Path, rootfs: Path, preparation: str, terminal: bool
) -> None:
    with open_runtime("native", str(tmp_path)) as runtime:
        process = Process(
            ("sh", "-c", f"{preparation}; touch /tmp/prepared; {HOSTILE}"),
            capabilities=("CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE"),
        )
        made = Box.__new__(Box)
        made.runtime, made.container = runtime, Container("test", str(rootfs), process, seccomp=False)
        null = os.open("/dev/null", os.O_RDWR)
        made.first = runtime.start(made.container, null, null, null)
        wait_until((rootfs / "tmp/prepared").exists)
        with pytest.raises(WherryError):
            made.join("true", terminal=terminal)
        os.close(null)


LOOKING = """
while :; do
  for p in /proc/[0-9]*; do grep -E '^(Uid|CapPrm|CapEff|CapBnd)' $p/status; done 2> /dev/null >> /tmp/seen
done
"""


def test_nobody_in_the_container_ever_has_more_rights(box: Callable[..., Box], rootfs: Path) -> None:
    """A process of the container's that may trace others gets no rights by tracing one that joins."""
    capabilities = ("CAP_CHOWN", "CAP_SYS_PTRACE")
    null = os.open("/dev/null", os.O_RDWR)
    made = box()
    container = made.container._replace(process=Process(("sh", "-c", LOOKING), capabilities=capabilities))
    first = made.runtime.start(container, null, null, null)
    try:
        user = User(7, 7, (7,))
        for number in range(40):
            process = Process(("true",), capabilities=capabilities, user=user if number % 2 else User())
            assert made.runtime.join(container, first, process, (null, null, null)).wait() == 0
        seen = rootfs / "tmp/seen"
        wait_until(lambda: "Uid:\t7" in seen.read_text())
    finally:
        first.kill()
        first.wait()
        os.close(null)
    lines = [line.split() for line in seen.read_text().splitlines()]
    masks = {int(line[1], 16) for line in lines if line[0].startswith("Cap") and len(line) == 2}
    mine = 1 << 0 | 1 << 19  # CAP_CHOWN and CAP_SYS_PTRACE
    assert mine in masks
    assert not [mask for mask in masks if mask & ~mine], masks


def test_it_cannot_be_looked_into_before_its_command(tmp_path: Path, rootfs: Path) -> None:
    """Processes of the container, with the same user and the same rights, try all the time."""
    script = """
    while :; do
        for process in /proc/[0-9]*; do
            case "$(readlink $process/exe)" in */busybox|"") ;; *) readlink $process/exe >> /tmp/found ;; esac
            ls -l $process/fd 2>/dev/null | grep -q socket && echo socket >> /tmp/found
        done
        touch /tmp/round
    done
    """
    with open_runtime("native", str(tmp_path)) as runtime:
        made = Box(runtime, rootfs, script)
        wait_until((rootfs / "tmp/round").exists)

        # It takes its time to look for its command, as the user that it is to be.
        path = f"PATH={'/n:' * 40_000}/bin"
        assert made.join("true", env=(path,)).wait() == 0
    assert not (rootfs / "tmp/found").exists()


def test_many_at_once(box: Callable[..., Box]) -> None:
    made = box()
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda number=number: codes.append(made.sh(f"exit {number}")[0]))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(12))


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_who_cannot_come_in_leaves_nothing(box: Callable[..., Box]) -> None:
    made = box()
    joined = made.join("sleep", "1000")
    helper = parent(parent(joined.pid))
    before = children(helper)
    for _ in range(3):
        with pytest.raises(WherryError, match="working directory"):
            made.join("true", cwd="/nowhere")
        with pytest.raises(ExecFailed):
            made.join("nothing-of-this-name")
    wait_until(lambda: children(helper) == before)


def test_one_whose_maker_was_killed_is_taken_in(box: Callable[..., Box]) -> None:
    made = box()
    first, second = (made.join("sleep", "1000") for _ in range(2))
    maker = parent(first.pid)
    helper = parent(maker)
    kept = [number for number in children(helper).split() if number != str(maker)]
    os.kill(maker, signal.SIGKILL)
    assert first.wait() == 128 + signal.SIGKILL
    wait_until(lambda: made.sh("true")[0] == 0 and children(helper).split() == kept)
    assert not second.ended()
