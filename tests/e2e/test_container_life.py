"""Containers that are started again, attached to, killed, waited for and renamed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.cli import COMMAND, Wherry
from support.containers import boxed, is_connected, processes_of, state
from support.ports import free, until
from support.terminal import terminal

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
FOREVER = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def running(box: Wherry, name: str, *words: str) -> None:
    """A container that ends with exit code 5 when it is asked to."""
    box.ok("run", "-d", "--name", name, *QUIET, *words, "busybox", "sh", "-c", FOREVER)
    until(lambda: "up\n" in box.ok("logs", name))


def test_start_runs_an_ended_container_again_with_what_it_wrote(box: Wherry) -> None:
    script = "cat /root/times 2>/dev/null; echo again >> /root/times; exit 3"
    assert box("run", "--name", "job", *QUIET, "busybox", "sh", "-c", script).code == 3
    again = box("start", "-a", "job")
    assert (again.code, again.out) == (3, "again\n")
    assert box.ok("start", "job") == "job\n"
    assert box.ok("wait", "job") == "3\n"
    assert box.ok("logs", "job") == "again\nagain\nagain\n"
    assert state(box, "job").startswith("Exited (3) ")


def test_created_container_is_started_later(box: Wherry) -> None:
    created = box.ok(
        "create", "-i", "--name", "job", "--label", "a=b", *QUIET, "busybox", "sh", "-c", "cat; exit 3"
    )
    assert re.fullmatch("[0-9a-f]{64}\n", created)
    assert state(box, "job") == "Created"
    again = box("start", "-ai", "job", stdin="typed")
    assert (again.code, again.out) == (3, "typed")
    assert box.ok("ps", "-aq", "--no-trunc", "--filter", "label=a=b") == created


def test_create_tells_what_it_refuses(box: Wherry) -> None:
    assert box("create", "--detach", "busybox").code == 125
    assert box("create", "-p", "x", "busybox").code == 125
    assert box("create", "--pull=never", "nosuch").code == 1
    assert box.ok("ps", "-aq") == ""


def test_run_of_a_container_says_how_to_start_it(box: Wherry) -> None:
    box.ok("create", "--name", "job", *QUIET, "busybox")
    nowhere = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:1")
    told = box("run", "job", env=nowhere)
    assert told.code == 125
    assert "hint: job is a container: `wherry start job` starts it again" in told.err
    assert "is a container" not in box("run", "jobs", env=nowhere).err


def test_start_of_a_running_container_changes_nothing(box: Wherry) -> None:
    running(box, "web")
    before = box.ok("inspect", "web")
    assert box.ok("start", "web") == "web\n"
    assert box.ok("inspect", "web") == before


def test_two_starts_at_once_start_it_once(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "job", *QUIET, "busybox", "sh", "-c", f"echo begun >> /root/log; {FOREVER}")
    until(lambda: box.ok("logs", "job") == "up\n")
    box.ok("stop", "job")
    both = [subprocess.Popen([*COMMAND, "start", "job"], env=box.environment) for _ in range(2)]
    assert {one.wait() for one in both} <= {0, 1}
    until(lambda: box.ok("logs", "job") == "up\nup\n")
    box.ok("stop", "job")
    shown = box("run", "--rm", *QUIET, "busybox", "true")
    assert shown.code == 0
    path = next(box.root.glob("containers/*/root/**/root/log"))
    assert path.read_text() == "begun\n" * 2


def test_stdin_reaches_a_container_that_is_started_again(box: Wherry) -> None:
    assert box("run", "-i", "--name", "cat", *QUIET, "busybox", "cat", stdin="first").out == "first"
    assert box("start", "-i", "cat", stdin="second").out == "second"
    assert box("start", "-a", "one", "two").code == 125
    assert box("start", "nobody").code == 1


def test_kill_sends_any_signal(box: Wherry) -> None:
    running(box, "web")
    assert box.ok("kill", "-s", "TERM", "web") == "web\n"
    assert box.ok("wait", "web") == "5\n"
    refused = box("kill", "web")
    assert (refused.code, refused.err) == (1, "error: container web is not running\n")
    box.ok("start", "web")
    box.ok("kill", "web")
    assert state(box, "web").startswith("Exited (137) ")
    assert "invalid signal: NOISE" in box("kill", "-s", "NOISE", "web").err


def test_wait_returns_with_the_end(box: Wherry) -> None:
    running(box, "one")
    running(box, "two", "--rm")
    words = [*COMMAND, "wait", "two", "one", "three"]
    waiting = subprocess.Popen(words, env=box.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: is_connected(waiting.pid))
    assert waiting.poll() is None
    box.ok("stop", "two")
    box.ok("kill", "one")
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (1, b"5\n137\n")
    assert b"no such container: three" in err


def test_wait_tells_of_a_container_whose_monitor_was_killed(box: Wherry) -> None:
    running(box, "web")
    waiting = subprocess.Popen([*COMMAND, "wait", "web"], env=box.environment, stdout=subprocess.PIPE)
    until(lambda: is_connected(waiting.pid))
    monitor = re.search(
        r'"monitor": {"pid": (\d+)', next(box.root.glob("containers/*/state.json")).read_text()
    )
    assert monitor
    os.kill(int(monitor[1]), signal.SIGKILL)
    assert waiting.communicate(timeout=60)[0] == b"255\n"


def test_restart_stops_and_starts(box: Wherry) -> None:
    running(box, "web")
    assert box.ok("restart", "-t", "5", "web") == "web\n"
    assert state(box, "web").startswith("Up ")
    until(lambda: box.ok("logs", "web") == "up\nup\n")
    box.ok("stop", "web")
    assert box.ok("restart", "web") == "web\n"
    until(lambda: box.ok("logs", "web") == "up\nup\nup\n")
    running(box, "passing", "--rm")
    assert box.ok("restart", "passing") == "passing\n"
    assert state(box, "passing").startswith("Up ")
    until(lambda: box.ok("logs", "passing") == "up\nup\n")
    box.ok("stop", "passing")
    assert box("restart", "passing").code == 1
    assert box.ok("ps", "-aq", "--filter", "name=passing") == ""


def test_a_signal_in_place_of_the_containers_own(box: Wherry) -> None:
    script = "trap 'exit 6' USR1; trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    box.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sh", "-c", script)
    until(lambda: box.ok("logs", "web") == "up\n")
    assert box.ok("restart", "-s", "USR1", "web") == "web\n"
    until(lambda: box.ok("logs", "web") == "up\nup\n")
    assert box.ok("stop", "--signal", "SIGUSR1", "web") == "web\n"
    assert state(box, "web").startswith("Exited (6) ")
    assert "invalid signal: NOISE" in box("stop", "-s", "NOISE", "web").err
    events = box.ok("events", "--since", "1h", "--until", "0s", "--filter", "event=die", "--format", "json")
    assert [json.loads(line)["Actor"]["Attributes"]["exitCode"] for line in events.splitlines()] == ["6", "6"]


def test_rename(box: Wherry) -> None:
    running(box, "web")
    running(box, "other")
    taken = box("rename", "web", "other")
    assert taken.code == 1
    assert "the container name 'other' is already in use" in taken.err
    assert box.ok("rename", "web", "site") == ""
    assert state(box, "site").startswith("Up ")
    assert box("stop", "web").code == 1
    assert box.ok("rename", "site", "web") == ""
    assert "invalid container name: '-x'" in box("rename", "web", "--", "-x").err


def test_a_renamed_container_frees_its_name_with_its_end(box: Wherry) -> None:
    running(box, "web", "--rm")
    box.ok("rename", "web", "site")
    box.ok("stop", "site")
    assert os.listdir(box.root / "containers" / "names") == []


def test_port(box: Wherry) -> None:
    first, second = free(), free()
    words = ("-p", f"127.0.0.1:{first}:80", "-p", f"{second}:53/udp")
    box.ok("run", "-d", "--name", "web", *words, "busybox", "sleep", "60")
    everything = f"80/tcp -> 127.0.0.1:{first}\n53/udp -> 0.0.0.0:{second}\n53/udp -> [::]:{second}\n"
    assert box.ok("port", "web") == everything
    assert box.ok("port", "web", "80") == f"127.0.0.1:{first}\n"
    assert box.ok("port", "web", "53/udp") == f"0.0.0.0:{second}\n[::]:{second}\n"
    assert box("port", "web", "53").err == "error: no public port '53/tcp' published for web\n"
    assert box("port", "web", "http").code == 125
    box.ok("kill", "web")
    assert box.ok("port", "web") == ""


def test_attach_shows_what_comes_and_passes_signals_and_stdin(box: Wherry) -> None:
    script = "trap 'echo asked; exit 8' INT; read line; echo got $line; while :; do sleep 0.05; done"
    box.ok("run", "-d", "-i", "--name", "web", *QUIET, "busybox", "sh", "-c", script)
    attached = subprocess.Popen(
        [*COMMAND, "attach", "web"],
        env=box.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert attached.stdin
    assert attached.stdout
    attached.stdin.write(b"this\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == b"got this\n"
    attached.send_signal(signal.SIGINT)
    assert attached.communicate(timeout=60)[0] == b"asked\n"
    assert attached.returncode == 8
    assert "container web is not running" in box("attach", "web").err


def test_signals_stay_here_where_they_are_not_to_be_passed_on(box: Wherry) -> None:
    running(box, "web")
    words = [*COMMAND, "attach", "--sig-proxy=false", "--no-stdin", "web"]
    attached = subprocess.Popen(words, env=box.environment)
    until(lambda: is_connected(attached.pid))
    attached.terminate()
    assert attached.wait(60) == -signal.SIGTERM
    assert state(box, "web").startswith("Up ")


def test_a_terminal_is_left_by_its_keys_and_found_again(box: Wherry) -> None:
    words = [*COMMAND, "run", "-it", "--name", "shell", *QUIET, "busybox", "sh"]
    with terminal(words, box.environment) as shell:
        shell.read_until(b"/ # ")
        shell.type(b"word=kept\n")
        shell.read_until(b"/ # ")
        shell.type(b"\x10")
        time.sleep(0.1)
        shell.type(b"\x11")
        shell.read_until(b"`wherry attach shell` comes back")
        assert shell.process.wait(60) == 0
    assert state(box, "shell").startswith("Up ")
    again = [*COMMAND, "attach", "--detach-keys", "ctrl-x,y", "shell"]
    with terminal(again, box.environment) as shell:
        shell.type(b"echo $word\n")
        shell.read_until(b"kept\r\n")
        shell.type(b"\x18y")
        assert shell.process.wait(60) == 0
    assert state(box, "shell").startswith("Up ")
    told = box.ok("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}").splitlines()
    assert [word for word in told if "tach" in word] == ["detach", "attach", "detach"]
    assert box("run", "--detach-keys", "alt-x", "busybox", "true").code == 125


def test_prune_removes_what_does_not_run(box: Wherry) -> None:
    running(box, "web")
    write = ("busybox", "sh", "-c", "head -c 3000000 /dev/zero > /big")
    for name, label in (("old", "kind=test"), ("other", "kind=job")):
        box.ok("run", "--name", name, "-l", label, *QUIET, *write)
    other = box.ok("ps", "-aq", "--no-trunc", "--filter", "name=other").strip()
    assert box("container", "prune").code == 1
    assert box.ok("container", "prune", "-f", "--filter", "until=1h").endswith("space: 0B\n")
    shown = box.ok("container", "prune", "-f", "--filter", "label=kind=job")
    assert shown.startswith(f"Deleted Containers:\n{other}\n\nTotal reclaimed space: 3")
    box.ok("container", "prune", stdin="y\n")
    assert box.ok("ps", "-a", "--format", "{{.Names}}") == "web\n"


def test_no_process_list_shows_what_a_container_was_given(box: Wherry) -> None:
    """Everybody on the machine can read a command line, and a monitor lives as long as its container runs."""
    secret = f"hunter-{os.urandom(8).hex()}"
    box.ok("network", "create", "n")
    given = ("-e", f"TOKEN={secret}", "busybox", "sleep", "1000")
    container_id = box.ok("run", "-d", "--name", "it", "--network", "n", *given).strip()

    lines = processes_of(box)

    assert not [line for line in lines if secret in line]
    assert sorted(line.strip(" ") for line in lines if line.startswith("wherry: ")) == [
        f"wherry: monitor of {container_id[:12]}",
        "wherry: networks",
    ]
    assert box.ok("exec", "it", "sh", "-c", "echo $TOKEN") == f"{secret}\n"
