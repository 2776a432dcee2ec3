"""Containers, as a user of the command line sees them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support import busybox
from support.busybox import GREETING, SERVE
from support.cli import COMMAND, RUNTIME, Wherry
from support.containers import boxed, monitor_of, state
from support.ports import answers, ask, free, until
from support.programs import path_without
from support.terminal import terminal
from wherry.oci.config import Execution

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def test_foreground_streams_and_exit_code(box: Wherry) -> None:
    result = box("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")
    assert box.ok("ps", "-aq") == ""
    assert os.listdir(box.root / "containers") == ["names"]


def test_stdin_reaches_the_process_and_ends(box: Wherry) -> None:
    data = os.urandom(3 << 20)
    done = subprocess.run(
        [*COMMAND, "run", "-i", "--rm", "--network", "none", "busybox", "cat"],
        input=data,
        capture_output=True,
        env=box.environment,
    )
    assert done.stdout == data


def test_stdin_is_empty_without_i(box: Wherry) -> None:
    assert box.ok("run", "--rm", "--network", "none", "busybox", "cat", stdin="lost") == ""


def test_exit_code_of_a_signal(box: Wherry) -> None:
    script = "sh -c 'kill -SEGV $$'; exit $?"
    assert box("run", "--rm", "--network", "none", "busybox", "sh", "-c", script).code == 139


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["busybox", "no-such-program"], 127, 'exec: "no-such-program": executable file not found in $PATH'),
        (["busybox", "/no/such"], 127, "no such file or directory"),
        (["busybox", "/etc/notes.txt"], 126, "permission denied"),
        (["busybox", "/etc"], 126, "is a directory"),
        (["--no-such-flag", "busybox"], 125, "unknown flag: --no-such-flag"),
        (["--memory", "1m", "busybox"], 125, "--memory: at least 6m"),
        (["--entrypoint", "", "busybox"], 125, "no command specified"),
        (["-u", "nobody-here", "busybox", "true"], 125, "unable to find user nobody-here"),
        (["-w", "relative", "busybox", "true"], 125, "needs to be an absolute path"),
        (["--network", "bridge0", "busybox", "true"], 125, "network bridge0 not found"),
        (["--pull", "never", "not-here", "true"], 125, "no such image: not-here"),
        (["-p", "80:nonsense", "busybox"], 125, "invalid port"),
        (["-it", "busybox", "sh"], 125, "the input device is not a TTY"),
    ],
)
def test_failures_to_start(box: Wherry, words: list[str], code: int, message: str) -> None:
    result = box("run", *words)
    assert result.code == code
    assert message in result.err or (RUNTIME and code in (126, 127))
    assert box.ok("ps", "-aq") == ""


def test_detached_life(box: Wherry) -> None:
    words = ("--name", "web", "--stop-timeout", "1000", "busybox", "sh", "-c")
    started = box.ok("run", "-d", *words, "echo one; echo two >&2; sleep 1000")
    assert re.fullmatch(r"[0-9a-f]{64}\n", started)
    container_id = started.strip()
    assert state(box, "web").startswith("Up ")
    until(lambda: box.ok("logs", "web") == "one\n")
    until(lambda: box("logs", container_id[:6]).err == "two\n")
    assert box("logs", "-t", "web").out.endswith("Z one\n")

    refused = box("rm", "web")
    assert refused.code == 1
    assert "is running" in refused.err
    begin = time.monotonic()
    assert box.ok("stop", "-t", "1", "web", timeout=120) == "web\n"
    assert time.monotonic() - begin > 0.9
    assert state(box, "web").startswith("Exited (137) ")
    assert box.ok("stop", "web") == "web\n"
    assert box.ok("rm", "web") == "web\n"
    assert box("rm", "web").code == 1
    assert box.ok("rm", "-f", "web") == ""
    assert not (box.root / "containers" / container_id).exists()


def test_stop_signal_is_the_images(box: Wherry) -> None:
    busybox.put(box.root, "polite", Execution(stop_signal="SIGUSR1"))
    script = "trap 'echo asked; exit 3' USR1; echo up; while :; do sleep 0.05; done"
    box.ok("run", "-d", "--name", "polite", "--network", "none", "polite", "sh", "-c", script)
    until(lambda: box.ok("logs", "polite") == "up\n")
    box.ok("stop", "polite")
    assert state(box, "polite").startswith("Exited (3) ")
    assert box.ok("logs", "polite") == "up\nasked\n"


def test_follow_ends_with_the_container(box: Wherry) -> None:
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done"
    box.ok("run", "-d", "--name", "counter", "--network", "none", "busybox", "sh", "-c", script)
    assert box.ok("logs", "-f", "counter") == "1\n2\n3\n4\n5\n"
    assert box.ok("logs", "--tail", "2", "counter") == "4\n5\n"
    assert box.ok("logs", "--tail", "0", "counter") == ""
    assert box.ok("logs", "--since", "2001-01-01T00:00:00Z", "counter") == "1\n2\n3\n4\n5\n"
    assert box.ok("logs", "--since", "0.0001ms", "counter") == ""
    assert box("logs", "--tail", "x", "counter").code == 125


def test_names_are_unique_and_random(box: Wherry) -> None:
    box.ok("run", "--name", "one", "--network", "none", "busybox", "true")
    result = box("run", "--name", "one", "--network", "none", "busybox", "true")
    assert result.code == 125
    assert "the container name 'one' is already in use" in result.err
    box.ok("run", "--network", "none", "busybox", "true")
    names = box.ok("ps", "-a", "--format", "{{.Names}}").split()
    assert len(names) == 2
    assert re.fullmatch(r"[a-z]+_[a-z]+", names[0])
    box.ok("rm", "one")
    box.ok("run", "--rm", "--name", "one", "--network", "none", "busybox", "true")


def test_ps_columns_and_filters(box: Wherry) -> None:
    box("run", "--name", "done", "--network", "none", "busybox", "sh", "-c", "exit 4")
    box.ok("run", "-d", "--name", "going", "--label", "a=b", "busybox", "sleep", "1000000000000000")
    header, row = box.ok("ps").splitlines()
    assert header.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert '"sleep 1000000000000…"' in row
    assert box.ok("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}} {{.Status}}").startswith(
        "done Exited (4) "
    )
    assert box.ok("ps", "--filter", "name=oin", "--format", "{{.Names}}") == "going\n"
    assert box.ok("ps", "--filter", "label=a=c", "-q") == ""
    assert len(box.ok("ps", "-aq", "--no-trunc").split()[0]) == 64
    assert json.loads(box.ok("ps", "--format", "json"))["State"] == "running"


def test_published_port(box: Wherry) -> None:
    port = free()
    box.ok("run", "-d", "--name", "web", "-p", f"{port}:8080", "busybox", "sh", "-c", SERVE)
    until(lambda: answers(port))
    assert ask(port) == GREETING
    shown = box.ok("ps", "--format", "{{.Ports}}").strip()
    assert shown.startswith(f"0.0.0.0:{port}->8080/tcp")
    taken = box("run", "-d", "--name", "second", "-p", f"{port}:8080", "busybox", "sh", "-c", SERVE)
    assert taken.code == 125
    assert f"cannot publish 0.0.0.0:{port}/tcp: the port is already in use" in taken.err
    assert box.ok("ps", "-a", "--format", "{{.Names}}") == "web\n"
    box.ok("stop", "-t", "0", "web")
    assert not answers(port)


def test_random_port_on_one_address(box: Wherry) -> None:
    box.ok("run", "-d", "-p", "127.0.0.1::8080", "busybox", "sh", "-c", SERVE)
    shown = box.ok("ps", "--format", "{{.Ports}}").strip()
    match = re.fullmatch(r"127\.0\.0\.1:([0-9]+)->8080/tcp", shown)
    assert match
    until(lambda: answers(int(match[1])))


@pytest.mark.parametrize("missing", [("pasta",), ("pasta", "slirp4netns")])
def test_port_without_pasta(box: Wherry, tmp_path: Path, missing: tuple[str, ...]) -> None:
    port = free()
    env = path_without(tmp_path / "path", *missing)
    result = box("run", "-d", "-p", f"{port}:8080", "busybox", "sh", "-c", SERVE, env=env)
    assert result.code == 0, result.err
    assert ("cannot reach the network outside" in result.err) == ("slirp4netns" in missing)
    until(lambda: answers(port))
    assert ask(port) == GREETING
    if socket.has_dualstack_ipv6():
        assert ask(port, "::1") == GREETING


def test_environment_and_user(box: Wherry, tmp_path: Path) -> None:
    busybox.put(box.root, "env", Execution(env=("A=image", "B=image", "C=image"), user="web"))
    (tmp_path / "vars").write_text("# comment\nB=file\nFROM_HOST\nUNSET\n")
    out = box.ok(
        *("run", "--rm", "--network", "none", "--env-file", tmp_path / "vars", "-e", "C=flag", "-e", "GONE"),
        *("--hostname", "box", "env", "sh", "-c", "env | sort; id"),
        env={"FROM_HOST": "yes"},
    )
    lines = out.splitlines()
    assert [line for line in lines if line[:2] in ("A=", "B=", "C=")] == ["A=image", "B=file", "C=flag"]
    assert {"FROM_HOST=yes", "HOME=/home/web", "HOSTNAME=box"} <= set(lines)
    assert not [line for line in lines if line.startswith(("UNSET", "GONE"))]
    assert lines[-1] == "uid=1000(web) gid=1000(web) groups=44(extra),1000(web)"


def test_volumes(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("host\n")
    run = ("run", "--rm", "--network", "none")
    assert box.ok(*run, "-v", f"{tmp_path}/here:/mnt", "busybox", "cat", "/mnt/file") == "host\n"
    assert box.ok(*run, "-v", "./here:/mnt:ro", "busybox", "cat", "/mnt/file", cwd=tmp_path) == "host\n"
    file = f"{tmp_path}/here/file:/etc/new.conf:ro"
    assert box.ok(*run, "-v", file, "busybox", "cat", "/etc/new.conf") == "host\n"
    refused = box(*run, "-v", f"{tmp_path}/here:/mnt:ro", "busybox", "touch", "/mnt/new")
    assert "Read-only file system" in refused.err
    box.ok(*run, "-v", f"{tmp_path}/made:/mnt", "busybox", "touch", "/mnt/new")
    assert (tmp_path / "made" / "new").exists()

    first = box.ok(*run, "-v", "data:/data", "busybox", "sh", "-c", "cat /data/seed; stat -c '%a %u' /data")
    assert first == "from the image\n750 1000\n"
    box.ok(*run, "-v", "data:/data", "busybox", "sh", "-c", "rm /data/seed; echo kept > /data/mine")
    assert box.ok(*run, "-v", "data:/data", "busybox", "ls", "/data") == "mine\n"
    assert (box.root / "volumes" / "data" / "_data" / "mine").read_text() == "kept\n"


def test_volume_over_a_link_that_leads_out(box: Wherry) -> None:
    """In the container the link ends at its own /etc: that is what is copied, and what is covered."""
    run = ("run", "--rm", "--network", "none", "-v", "stolen:/escape", "busybox")
    assert "notes.txt" in box.ok(*run, "ls", "/etc").split()
    assert "notes.txt" in os.listdir(box.root / "volumes" / "stolen" / "_data")
    assert "shadow" not in os.listdir(box.root / "volumes" / "stolen" / "_data")


def test_anonymous_volumes_go_with_rm(box: Wherry) -> None:
    busybox.put(box.root, "volumed", Execution(volumes=("/data",)))
    box.ok("run", "--rm", "--network", "none", "volumed", "touch", "/data/x")
    assert os.listdir(box.root / "volumes") == []
    box.ok("run", "--name", "kept", "--network", "none", "volumed", "touch", "/data/x")
    (volume,) = os.listdir(box.root / "volumes")
    assert sorted(os.listdir(box.root / "volumes" / volume / "_data")) == ["seed", "x"]
    box.ok("rm", "-v", "kept")
    assert os.listdir(box.root / "volumes") == []


def test_networks(box: Wherry) -> None:
    run = ("run", "--rm", "--network")
    assert box.ok(*run, "none", "busybox", "ls", "/sys/class/net") == "lo\n"
    assert box.ok(*run, "host", "busybox", "hostname") == f"{os.uname().nodename}\n"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        probe = ("nc", "-w", "1", "127.0.0.1", str(listener.getsockname()[1]), "-e", "true")
        assert box(*run, "host", "busybox", *probe).code == 0
        assert box(*run, "default", "busybox", *probe).code == 1


def test_etc_files_hostname_read_only_workdir(box: Wherry) -> None:
    run = ("run", "--rm", "--network", "none")
    out = box.ok(
        *run, "--hostname", "box", "busybox", "sh", "-c", "hostname; cat /etc/hostname; grep box /etc/hosts"
    )
    assert out == "box\nbox\n127.0.1.1\tbox\n"
    assert "Read-only file system" in box(*run, "--read-only", "busybox", "touch", "/x").err
    assert box.ok(*run, "-w", "/made/for/it", "busybox", "pwd") == "/made/for/it\n"


def test_signals_go_to_the_process(box: Wherry) -> None:
    script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    running = box.start("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert running.stdout
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    assert running.stdout.read() == b"got it\n"
    assert running.wait() == 5
    assert running.stderr
    running.stdout.close()
    running.stderr.close()


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3, 0.6])
def test_interrupted_at_any_time_nothing_is_left(box: Wherry, delay: float) -> None:
    script = f"trap 'exit 3' INT; while :; do sleep 0.05; done # {box.root}"
    running = box.start("run", "--rm", "busybox", "sh", "-c", script)
    time.sleep(delay)

    def has_ended() -> bool:
        """A signal that comes before the trap is lost on a container's first process: then once more."""
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.communicate(timeout=5)
        return running.poll() is not None

    until(has_ended)
    until(lambda: box.ok("ps", "-aq") == "")
    until(lambda: not processes_with(script))


def processes_with(words: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
        if words.encode() in line:
            found.append(pid)
    return found


@pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap")
def test_image_is_pulled_where_it_is_missing(wherry: Wherry, registry: str) -> None:
    name = f"{registry}/busybox:latest"
    result = wherry("run", "--rm", "--network", "none", name, "echo", "pulled")
    assert (result.code, result.out) == (0, "pulled\n")
    assert f"Unable to find image '{name}' locally" in result.err
    assert wherry("run", "--rm", "--network", "none", name, "true").err == ""
    missing = wherry("run", "--rm", f"{registry}/no-such-image", "true")
    assert missing.code == 125
    assert "no-such-image" in missing.err


def test_killed_monitor_takes_the_container_along(box: Wherry) -> None:
    port = free()
    box.ok("run", "-d", "--name", "web", "-p", f"{port}:8080", "busybox", "sh", "-c", SERVE)
    folder = box.root / "containers" / os.readlink(box.root / "containers" / "names" / "web")
    pid = json.loads((folder / "state.json").read_text())["pid"]
    os.kill(monitor_of(box, "web"), signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert state(box, "web").startswith("Exited (255) ")
    until(lambda: not answers(port))
    assert box.ok("rm", "web") == "web\n"


def test_killed_caller_leaves_the_container(box: Wherry) -> None:
    caller = box.start("run", "--name", "still", "--network", "none", "busybox", "sleep", "60")
    until(lambda: state(box, "still").startswith("Up "))
    caller.kill()
    caller.communicate()
    time.sleep(0.2)
    assert state(box, "still").startswith("Up ")


def test_terminal(box: Wherry) -> None:
    """A shell on a real terminal: its size, its resizing, keys, and the local terminal as it was before."""
    words = [*COMMAND, "run", "--rm", "-it", "--network", "none", "busybox", "sh"]
    with terminal(words, box.environment) as shell:
        shell.try_out()
        assert shell.end() == 9
        assert shell.settings_now() == shell.settings


def test_large_output_is_whole(box: Wherry) -> None:
    result = box("run", "--rm", "--network", "none", "busybox", "seq", "1", "300000")
    assert result.out == "".join(f"{number}\n" for number in range(1, 300001))


def test_many_at_once(box: Wherry) -> None:
    running = [
        box.start("run", "--rm", "--network", "none", "busybox", "sh", "-c", f"sleep 0.2; echo {number}")
        for number in range(8)
    ]
    assert [process.communicate()[0] for process in running] == [f"{n}\n".encode() for n in range(8)]
    assert box.ok("ps", "-aq") == ""
