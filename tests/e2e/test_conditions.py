"""What a host grants a process: --runtime, --add-host, --shm-size, --ulimit, --memory, --cpus and so on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, ordinary, programs
from support.cli import Wherry, write_files
from support.running import unique, wait_until
from support.trees import contents
from wherry.runtime.cgroups import group, tree
from wherry.runtime.spec import Resources

pytestmark = pytest.mark.needs("root", "busybox")

Context = Callable[[Mapping[str, str | bytes]], Path]
RUNTIMES = ("native", "crun", "runc")
GREEDY = "dd if=/dev/zero of=/dev/null bs=100M count=1"
"""Fills 100 MB of memory."""


@pytest.fixture(params=RUNTIMES)
def program(request: pytest.FixtureRequest) -> str:
    if request.param != "native":
        programs.require(request.param)
    return str(request.param)


@pytest.fixture
def box(wherry: Wherry) -> Wherry:
    busybox.put(wherry.root, "base")
    return wherry


@contextmanager
def users_box() -> Iterator[tuple[Wherry, Path]]:
    """An ordinary user's store with the image, and his home."""
    programs.require("newuidmap", "setpriv")
    with ordinary.user() as someone:
        wherry = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, wherry.root, "base")
        yield wherry, someone.home


def dockerfile(*lines: str) -> dict[str, str | bytes]:
    return {"Dockerfile": "\n".join(["FROM base", *lines, ""])}


class Parent(NamedTuple):
    """A cgroup to make others in, in every hierarchy: what others make at the same time does not count."""

    name: str

    def folders(self) -> list[Path]:
        return list(Path("/sys/fs/cgroup").glob(f"**/{self.name}"))

    def inner(self) -> list[Path]:
        return [path for folder in self.folders() for path in folder.iterdir() if path.is_dir()]

    def is_used(self) -> bool:
        return any((path / "cgroup.procs").read_text() for path in self.inner())


@pytest.fixture
def parent() -> Iterator[Parent]:
    made = Parent(f"test-of-wherry-{unique()}")
    yield made
    for folder in made.folders():
        folder.rmdir()


NAMES = "--add-host db:10.0.0.5 --add-host six=[fd00::5]"
FLAGS = f"{NAMES} --add-host here:host-gateway --shm-size 1m"
SHOW = (
    "RUN grep -E 'db|six|here' /etc/hosts > /out; df -k /dev/shm | tail -1 | awk '{print $2}' >> /out;"
    " ulimit -n >> /out; ulimit -Hn >> /out"
)
SHOWN = ["10.0.0.5", "db", "fd00::5", "six", "127.0.0.1", "here", "1024", "99", "200"]


def test_the_conditions_of_a_build(box: Wherry, context: Context, program: str) -> None:
    words = ["--runtime", program, *FLAGS.split(), "--ulimit", "nofile=99:200", "-t", "out"]
    box.ok("build", *words, context(dockerfile(SHOW)))
    assert contents(box.root, "out")["out"].split() == SHOWN


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_conditions_of_an_ordinary_user_s_build(name: str) -> None:
    with users_box() as (wherry, home):
        folder = write_files(home / "context", dockerfile(SHOW, "RUN cat /out && false"))
        done = wherry("build", "--runtime", name, *FLAGS.split(), "--ulimit", "nofile=99:200", folder)
        if name != "native" and "not installed" in done.err:
            pytest.skip(f"needs {name}")
        assert done.code == 1
        excerpt = done.err.partition("--------------------")[2].partition("\n\n")[2].partition("-----")[0]
        assert excerpt.split() == SHOWN, done.err


def test_the_conditions_of_a_container(box: Wherry, program: str) -> None:
    words = "--add-host db:10.0.0.5 --shm-size 1m --ulimit nofile=99:200 --security-opt no-new-privileges"
    script = (
        "grep 10.0.0.5 /etc/hosts; df -k /dev/shm | tail -1 | awk '{print $2}'; ulimit -n; ulimit -Hn;"
        "grep -o 'NoNewPrivs.*1' /proc/self/status"
    )
    shown = box.ok("run", "--rm", "--runtime", program, *words.split(), "base", "sh", "-c", script)
    assert shown.split() == ["10.0.0.5", "db", "1024", "99", "200", "NoNewPrivs:", "1"]


def test_a_seccomp_profile_that_was_not_wanted(box: Wherry) -> None:
    show = ("grep", "-o", "Seccomp:.*", "/proc/self/status")
    assert box.ok("run", "--rm", "base", *show).split()[1] == "2"
    assert box.ok("run", "--rm", "--security-opt", "seccomp=unconfined", "base", *show).split()[1] == "0"
    refused = box("run", "--rm", "--security-opt", "apparmor=x", "base", "true")
    assert (refused.code, "apparmor=x is not supported" in refused.err) == (125, True)


def test_conditions_are_no_inputs(box: Wherry, context: Context) -> None:
    """As for docker: none of them makes a step run again, and none changes the image."""
    folder = context(dockerfile("RUN echo x > /x"))
    first = box.ok("build", "-q", folder)
    flags = f"{NAMES} --shm-size 1m --ulimit nofile=99 --memory 64m --cpus 1 --runtime native --network none"
    again = box("build", "--progress", "plain", *flags.split(), folder)
    assert "#2 CACHED" in again.err
    assert box.ok("build", "-q", "--no-cache", *flags.split(), folder) == first


def test_the_host_is_not_to_be_found_from_another_network(box: Wherry, context: Context) -> None:
    folder = context(dockerfile("RUN true"))
    for refused in (
        box("build", "--network", "none", "--add-host", "a:host-gateway", folder),
        box("run", "--rm", "--add-host", "a:host-gateway", "base", "true"),
    ):
        assert refused.code in (1, 125)
        assert "--add-host a:host-gateway: a network of its own does not reach the host" in refused.err


# -- cgroups

needs_cgroups = pytest.mark.skipif(
    not {"memory", "cpu", "cpuset"} <= tree.usable().keys(), reason="needs cgroups that root may use"
)


@needs_cgroups
def test_a_step_that_uses_too_much_memory_says_so(
    box: Wherry, context: Context, program: str, parent: Parent
) -> None:
    words = ("--runtime", program, "--cgroup-parent", parent.name, "--memory", "32m")
    done = box("build", *words, context(dockerfile(f"RUN {GREEDY}")))
    assert done.code == 1
    assert "exit code: 137 (killed: it used more than --memory 32m)" in done.err
    assert parent.folders()
    assert parent.inner() == []
    box.ok("build", "--runtime", program, "--memory", "200m", context(dockerfile(f"RUN {GREEDY}")))


@needs_cgroups
def test_a_container_that_uses_too_much_memory_says_so(box: Wherry, program: str, parent: Parent) -> None:
    words = ("--runtime", program, "--name", "greedy", "--memory", "32m", "--cgroup-parent", parent.name)
    done = box("run", *words, "base", *GREEDY.split())
    assert (done.code, "killed: it used more than --memory" in done.err) == (137, True)
    assert box.ok("inspect", "-f", "{{.State.OOMKilled}}", "greedy") == "true\n"
    assert parent.inner() == []


@needs_cgroups
def test_limits_hold_while_a_step_runs(box: Wherry, context: Context, parent: Parent) -> None:
    flags = "--memory 64m --memory-swap 96m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0"
    flags += f" --cgroup-parent {parent.name}"
    folder = context(dockerfile("RUN nproc > /n; sleep 1000"))
    process = box.start("build", *flags.split(), folder)
    try:
        wait_until(parent.is_used)
        found = {path.name: path.read_text().strip() for folder in parent.inner() for path in folder.iterdir()
                 if path.name in LIMITS}  # fmt: skip
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert found == LIMITS
    assert parent.inner() == []


LIMITS = {
    "memory.limit_in_bytes": str(64 << 20),
    "memory.memsw.limit_in_bytes": str(96 << 20),
    "cpu.cfs_quota_us": "50000",
    "cpu.shares": "512",
    "cpuset.cpus": "0",
}


@needs_cgroups
def test_what_a_killed_build_left_is_removed_by_the_next(
    box: Wherry, context: Context, parent: Parent
) -> None:
    limits = ("--memory", "64m", "--cgroup-parent", parent.name)
    process = box.start("build", *limits, context(dockerfile("RUN sleep 1000")))
    wait_until(parent.is_used)
    process.kill()
    process.communicate()
    wait_until(lambda: not parent.is_used())
    assert parent.inner()
    box.ok("build", *limits, context(dockerfile("RUN true")))
    assert parent.inner() == []


def test_a_user_without_cgroups_is_told() -> None:
    with users_box() as (wherry, home):
        folder = write_files(home / "context", dockerfile("RUN true"))
        done = wherry("build", "--memory", "64m", folder)
        assert done.code == 1
        assert "cannot limit" in done.err or "no cgroup controller" in done.err
        assert "hint:" in done.err
        assert "Traceback" not in done.err
        assert wherry("run", "--rm", "--cpus", "0.5", "base", "true").code == 125


@needs_cgroups
def test_a_user_with_a_cgroup_of_his_own() -> None:
    """What systemd does for `Delegate=yes`, by hand and in version 1."""
    place = Path(next(one.own for one in tree.here() if "memory" in one.controllers), f"given-{os.getpid()}")
    place.mkdir()
    try:
        for path in (place, *place.iterdir()):
            os.chown(path, ordinary.UID, ordinary.UID)
        with users_box() as (wherry, home):
            folder = write_files(home / "context", dockerfile(f"RUN {GREEDY}"))
            script = f'echo $$ > {place}/cgroup.procs; exec "$@"'
            inside = Wherry(
                wherry.root, home / "docker", prefix=["bash", "-c", script, "in", *wherry.command[:-3]]
            )
            done = inside("build", "--memory", "32m", folder)
        assert "killed: it used more than --memory 32m" in done.err
        assert [path for path in place.iterdir() if path.is_dir()] == []
    finally:
        place.rmdir()


@pytest.mark.skipif(
    not any(one.version == 2 and one.controllers for one in tree.here()), reason="needs cgroups of version 2"
)
def test_version_2_gives_controllers_on_only_where_nobody_is() -> None:
    """In a process of its own, in a cgroup such as systemd makes: it moves on from there."""
    script = """
import os, signal, sys
from wherry.runtime.cgroups import group, tree
(one,) = [one for one in tree.here() if one.version == 2]
place = sys.argv[1]
one = one._replace(own=place)
name = sorted(one.controllers)[0]
made = group._Place(group._parent(one, "", frozenset({name})), 2, (), frozenset())
assert name in open(f"{place}/cgroup.subtree_control").read()
with group._made(made) as folder:
    child = os.fork()
    if not child:
        signal.pause()
    group.Cgroup((folder,)).join(child)
    assert open(f"{folder}/cgroup.procs").read().split() == [str(child)]
    os.kill(child, 9)
    os.waitpid(child, 0)
print(open("/proc/self/cgroup").read().split("0::")[1].strip())
"""
    (hierarchy,) = [one for one in tree.here() if one.version == 2]
    place = Path(hierarchy.own, f"test-{os.getpid()}")
    place.mkdir()
    with (place.parent / "cgroup.subtree_control").open("w") as file:
        file.write("".join(f"+{name} " for name in hierarchy.controllers))
    try:
        enter = f'echo $$ > {place}/cgroup.procs; exec "$@"'
        words = ["bash", "-c", enter, "in", sys.executable, "-c", script, str(place)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip().rpartition("/")[2]) == (0, tree.SELF), done.stderr
        assert [path.name for path in place.iterdir() if path.is_dir()] == [tree.SELF]
    finally:
        (place / tree.SELF).rmdir()
        place.rmdir()


def test_nothing_to_limit_takes_no_cgroup() -> None:
    with group.limited(Resources(parent="test-of-wherry-nothing")) as made:
        assert Parent("test-of-wherry-nothing").folders() == []
        assert not made.excess()
