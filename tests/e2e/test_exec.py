"""`wherry exec`: other processes in a running container."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox
from support.cli import COMMAND, RUNTIME, Wherry
from support.containers import boxed, state
from support.ports import until
from support.terminal import terminal
from wherry.oci.config import Execution

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


@pytest.fixture
def web(box: Wherry) -> Wherry:
    """A container `web` runs, and ends with exit code 5 when it is asked to."""
    script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    box.ok("run", "-d", "--name", "web", "-e", "WHAT=it", *QUIET, "busybox", "sh", "-c", script)
    until(lambda: "up\n" in box.ok("logs", "web"))
    return box


def test_streams_and_exit_code(web: Wherry) -> None:
    result = web("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")
    assert web.ok("exec", "web", "hostname") == web.ok("ps", "-q")
    assert web.ok("logs", "web") == "up\n"


def test_stdin_is_empty_or_the_caller_s(web: Wherry) -> None:
    data = os.urandom(3 << 20)
    done = subprocess.run(
        [*COMMAND, "exec", "-i", "web", "cat"], input=data, capture_output=True, env=web.environment
    )
    assert done.stdout == data
    assert web.ok("exec", "web", "cat", stdin="lost") == ""


def test_variables_folder_and_user(web: Wherry, tmp_path: Path) -> None:
    shown = web.ok("exec", "-e", "MORE=1", "-e", "WHAT=that", "-w", "/tmp", "web", "sh", "-c", "pwd; env; id")
    lines = shown.splitlines()
    assert lines[0] == "/tmp"
    assert {"MORE=1", "WHAT=that", "HOME=/root"} <= set(lines)
    assert lines[-1].startswith("uid=0(root)")
    assert not any(line.startswith("TERM=") for line in lines)
    shown = web.ok("exec", "-u", "web", "web", "sh", "-c", "env; id")
    assert "HOME=/home/web" in shown
    assert "WHAT=it" in shown
    assert "uid=1000(web) gid=1000(web) groups=44(extra),1000(web)" in shown
    (tmp_path / "env").write_text("FROM=file\n")
    assert web.ok("exec", "--env-file", tmp_path / "env", "web", "sh", "-c", "echo $FROM") == "file\n"


def test_the_image_s_user_and_folder_are_the_default(box: Wherry) -> None:
    busybox.put(box.root, "env", Execution(env=("A=image",), user="web", working_dir="/data"))
    box.ok("run", "-d", "--name", "web", *QUIET, "env", "sleep", "60")
    assert box.ok("exec", "web", "sh", "-c", "id -u; pwd; echo $A $HOME") == "1000\n/data\nimage /home/web\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["web", "no-such-program"], 127, 'exec: "no-such-program": executable file not found in $PATH'),
        (["web", "/etc/notes.txt"], 126, "permission denied"),
        (["-w", "/none", "web", "true"], 127, "cannot enter the working directory /none"),
        (["-u", "nobody-here", "web", "true"], 125, "unable to find user nobody-here"),
        (["-it", "web", "sh"], 125, "the input device is not a TTY"),
        (["web"], 125, "exec needs a command"),
        (["nobody", "true"], 125, "no such container: nobody"),
        (["--privilege", "web", "true"], 125, "unknown flag: --privilege"),
        (["--env-file", "/none", "web", "true"], 125, "cannot read the env file /none"),
    ],
)
def test_what_cannot_be_executed(web: Wherry, words: list[str], code: int, message: str) -> None:
    result = web("exec", *words)
    assert (result.code, message in result.err) == (code, True), result.err
    assert web.ok("exec", "web", "echo", "still there") == "still there\n"


def test_in_the_background(web: Wherry) -> None:
    assert web.ok("exec", "-d", "web", "sh", "-c", "sleep 0.2; touch /tmp/done; echo lost") == ""
    until(lambda: web("exec", "web", "test", "-e", "/tmp/done").code == 0)
    assert web("exec", "-d", "web", "no-such").code == 127


def test_its_end_is_not_the_container_s_and_the_container_s_end_is_its_own(web: Wherry) -> None:
    words = [*COMMAND, "exec", "web", "sh", "-c", "echo begun; sleep 100"]
    running = subprocess.Popen(words, env=web.environment, stdout=subprocess.PIPE)
    assert running.stdout
    assert running.stdout.readline() == b"begun\n"
    assert web("exec", "web", "false").code == 1
    assert state(web, "web").startswith("Up ")
    web.ok("stop", "web")
    assert running.wait(60) == 137
    refused = web("exec", "web", "true")
    assert (refused.code, refused.err.splitlines()[0]) == (125, "error: container web is not running")


def test_signals_go_to_it_and_to_nothing_else(web: Wherry) -> None:
    script = "trap 'echo asked; exit 8' INT; echo begun; while :; do sleep 0.05; done"
    running = subprocess.Popen(
        [*COMMAND, "exec", "web", "sh", "-c", script], env=web.environment, stdout=subprocess.PIPE
    )
    assert running.stdout
    assert running.stdout.readline() == b"begun\n"
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[0] == b"asked\n"
    assert running.returncode == 8
    assert state(web, "web").startswith("Up ")


def test_a_killed_caller_leaves_the_container_as_it_is(web: Wherry) -> None:
    running = subprocess.Popen([*COMMAND, "exec", "web", "yes"], env=web.environment, stdout=subprocess.PIPE)
    assert running.stdout
    running.stdout.read(1 << 20)
    running.kill()
    running.wait()
    running.stdout.close()
    assert web.ok("exec", "web", "echo", "here") == "here\n"
    assert web.ok("stop", "web") == "web\n"
    assert state(web, "web").startswith("Exited (5) ")


def waiting_in(pipe: int) -> int:
    """Bytes that nobody has read."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


def test_who_does_not_read_holds_up_nobody_else(web: Wherry) -> None:
    reader, writer = os.pipe()
    running = subprocess.Popen([*COMMAND, "exec", "web", "yes"], env=web.environment, stdout=writer)
    os.close(writer)
    size = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
    until(lambda: waiting_in(reader) == size)
    assert web.ok("exec", "web", "echo", "here", timeout=60) == "here\n"
    os.close(reader)
    running.wait(60)


def test_a_daemon_that_it_leaves_does_not_keep_its_caller(web: Wherry) -> None:
    assert web.ok("exec", "web", "sh", "-c", "sleep 1000 & echo left", timeout=60) == "left\n"
    assert "sleep 1000" in web.ok("exec", "web", "ps")


def test_many_at_once(web: Wherry) -> None:
    words = [*COMMAND, "exec", "web", "sh", "-c"]
    running = [
        subprocess.Popen(
            [*words, f"echo {number}; exit {number}"], env=web.environment, stdout=subprocess.PIPE
        )
        for number in range(8)
    ]
    ended = [(one.communicate(timeout=60)[0], one.returncode) for one in running]
    assert ended == [(f"{number}\n".encode(), number) for number in range(8)]


def test_arguments_of_any_length(web: Wherry) -> None:
    assert web.ok("exec", "web", "echo", "x" * 100_000) == "x" * 100_000 + "\n"
    many = ["y" * 1000] * 300
    assert web.ok("exec", "web", "echo", *many) == " ".join(many) + "\n"


def test_a_terminal_with_its_size_and_its_keys(web: Wherry) -> None:
    with terminal([*COMMAND, "exec", "-it", "web", "sh"], web.environment) as shell:
        shell.try_out()
        assert shell.end() == 9
        assert shell.settings_now() == shell.settings


def test_left_by_its_keys_it_goes_on(web: Wherry) -> None:
    with terminal([*COMMAND, "exec", "-it", "web", "sh"], web.environment) as shell:
        shell.read_until(b"/ # ")
        shell.type(b"sleep 77\n\x10\x11")
        shell.read_until(b"detached")
        assert shell.process.wait(60) == 0
    told = web.ok("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}").splitlines()
    assert told[-1] == "exec_detach"
    until(lambda: "sleep 77" in web.ok("exec", "web", "ps"))


@pytest.mark.skipif(RUNTIME not in ("", "native"), reason="asks for a limit that crun cannot set here")
def test_limits_hold_for_it_too(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", "--ulimit", "nofile=77:88", *QUIET, "busybox", "sleep", "60")
    assert box.ok("exec", "web", "sh", "-c", "ulimit -n; ulimit -Hn") == "77\n88\n"
    assert "NoNewPrivs:\t0" in box.ok("exec", "web", "cat", "/proc/self/status")


@pytest.mark.skipif(RUNTIME != "", reason="the built-in runtime's business")
def test_a_container_that_stops_whoever_comes_does_not_stop_its_monitor(box: Wherry) -> None:
    script = """
    while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p -gt 1 ] && kill -STOP $p 2>/dev/null; done; done
    """
    box.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sh", "-c", script)
    running = [subprocess.Popen([*COMMAND, "exec", "web", "true"], env=box.environment) for _ in range(2)]
    assert box.ok("kill", "web", timeout=120) == "web\n"
    assert {one.wait(120) for one in running} <= {0, 125, 137}


def test_a_passwd_that_is_no_file_is_not_read(web: Wherry) -> None:
    web.ok("exec", "web", "sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd")
    refused = web("exec", "web", "true")
    assert (refused.code, refused.err) == (125, "error: /etc/passwd of the container is not a file\n")
    assert web.ok("stop", "web") == "web\n"
