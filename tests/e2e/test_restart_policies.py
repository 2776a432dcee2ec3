"""Containers whose monitor starts them again when they have ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import COMMAND, Wherry
from support.containers import boxed, monitor_of, state
from support.ports import answers, free, until
from wherry.container.monitor import control

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
COUNTED = "echo run >> /root/runs; wc -l < /root/runs; exit 3"
"""A shell's words for a process that fails, and says how often it has run."""
FOREVER = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def run(box: Wherry, policy: str, script: str, *words: str) -> None:
    box.ok("run", "-d", "--name", "job", "--restart", policy, *QUIET, *words, "busybox", "sh", "-c", script)


def inspected(box: Wherry) -> Any:
    return json.loads(box.ok("inspect", "job"))[0]


def folder(box: Wherry) -> str:
    return os.path.dirname(str(inspected(box)["LogPath"]))


def test_on_failure_gives_up_after_so_many_restarts(box: Wherry) -> None:
    run(box, "on-failure:2", COUNTED)
    until(lambda: state(box, "job").startswith("Exited (3) "))
    assert box.ok("logs", "job") == "1\n2\n3\n"
    assert inspected(box)["RestartCount"] == 2
    assert inspected(box)["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    box.ok("start", "job")
    until(lambda: box.ok("logs", "job") == "1\n2\n3\n4\n5\n6\n")
    until(lambda: inspected(box)["RestartCount"] == 2 and not inspected(box)["State"]["Running"])


def test_on_failure_lets_success_be(box: Wherry) -> None:
    run(box, "on-failure", "echo run >> /root/runs; test $(wc -l < /root/runs) = 3")
    until(lambda: state(box, "job").startswith("Exited (0) "))
    assert inspected(box)["RestartCount"] == 2


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_success_is_started_again_too_until_it_is_stopped(box: Wherry, policy: str) -> None:
    run(box, policy, "echo again")
    until(lambda: box.ok("logs", "job").count("again\n") >= 3)
    assert box.ok("stop", "job") == "job\n"
    assert state(box, "job").startswith("Exited (0) ")
    said = box.ok("logs", "job")
    box.ok("run", "--rm", *QUIET, "busybox", "sleep", "1")
    assert box.ok("logs", "job") == said


def test_while_it_waits_it_is_restarting(box: Wherry) -> None:
    """The wait doubles with every run that was short: it runs now and then, and less and less."""
    run(box, "always", "exit 3")
    waiting = {"Status": "restarting", "Running": True, "ExitCode": 3, "Pid": 0}
    until(lambda: waiting.items() <= inspected(box)["State"].items())
    until(lambda: re.fullmatch(r"Restarting \(3\) .* ago", state(box, "job")) is not None)
    until(lambda: box.ok("ps", "-q", "--filter", "status=restarting") != "")
    refused = "error: container job is restarting: wait until it runs\n"
    until(lambda: box("exec", "job", "true")[::2] == (125, refused))
    until(lambda: "job is restarting" in box("attach", "job").err)
    assert "is running" in box("rm", "job").err
    assert box.ok("start", "job") == "job\n"
    assert box.ok("rm", "-f", "job") == "job\n"
    assert box.ok("ps", "-aq") == ""


def test_who_is_connected_with_the_monitor(box: Wherry) -> None:
    """A connection is about one run."""
    run(box, "always", "sleep 0.5; exit 3")
    with control.connect(folder(box)) as connection:
        told = control.receive(connection)
        assert told
        assert (told.kind, told.number) == (control.ENDED, 3)
        assert control.receive(connection) is None


def test_who_connects_while_nothing_runs(box: Wherry) -> None:
    run(box, "always", "exit 3", "--health-cmd", "true")
    until(lambda: inspected(box)["RestartCount"] >= 5 and inspected(box)["State"]["Restarting"])
    with control.connect(folder(box)) as connection:
        control.send(connection, control.HEALTH)
        told = control.receive(connection)
        assert told == (control.HEALTH, b"starting")
        told = control.receive(connection)
        assert told
        assert (told.kind, told.number) == (control.ENDED, 3)
        assert control.receive(connection) is None


@pytest.mark.parametrize("words", [["kill"], ["kill", "-s", "TERM"], ["stop", "-t", "0"]])
def test_who_ends_it_ends_it_for_good(box: Wherry, words: list[str]) -> None:
    run(box, "always", FOREVER)
    until(lambda: box.ok("logs", "job") == "up\n")
    box.ok(*words, "job")
    until(lambda: state(box, "job").startswith("Exited "))
    assert inspected(box)["RestartCount"] == 0


def test_another_signal_does_not(box: Wherry) -> None:
    run(box, "always", "trap 'exit 5' HUP; echo up; while :; do sleep 0.05; done")
    until(lambda: box.ok("logs", "job") == "up\n")
    box.ok("kill", "-s", "HUP", "job")
    until(lambda: box.ok("logs", "job") == "up\nup\n")
    assert inspected(box)["RestartCount"] == 1


def test_a_process_that_was_killed_from_outside_runs_again(box: Wherry) -> None:
    run(box, "always", FOREVER)
    until(lambda: box.ok("logs", "job") == "up\n")
    os.kill(inspected(box)["State"]["Pid"], signal.SIGKILL)
    until(lambda: box.ok("logs", "job") == "up\nup\n")
    assert inspected(box)["State"]["Running"]


def test_its_foreground_sees_the_first_end(box: Wherry) -> None:
    words = ("run", "--name", "job", "--restart", "on-failure:1", *QUIET, "busybox", "sh", "-c", COUNTED)
    shown = box(*words)
    assert (shown.code, shown.out) == (3, "1\n")
    until(lambda: box.ok("logs", "job") == "1\n2\n")


def test_wait_returns_at_an_end(box: Wherry) -> None:
    run(box, "always", "sleep 0.3; exit 3")
    assert box.ok("wait", "job") == "3\n"
    assert inspected(box)["State"]["Running"]


def test_ports_and_volumes_are_there_again(box: Wherry) -> None:
    port = free()
    script = (
        "echo run >> /data/runs; cp /data/runs /tmp/index.html; httpd -p 8080 -h /tmp; read line < /data/pipe"
    )
    words = ("--network", "default", "-v", "data:/data", "-p", f"{port}:8080", "-p", "8080")
    box.ok("run", "--rm", "-v", "data:/data", *QUIET, "busybox", "mkfifo", "/data/pipe")
    box.ok("run", "-d", "--name", "job", "--restart", "always", *words, "busybox", "sh", "-c", script)
    until(lambda: answers(port))
    chosen = box.ok("port", "job")
    assert len(chosen.splitlines()) >= 2
    os.kill(inspected(box)["State"]["Pid"], signal.SIGKILL)
    until(lambda: inspected(box)["RestartCount"] == 1 and answers(port))
    assert box.ok("port", "job") == chosen
    assert box.ok("exec", "job", "cat", "/data/runs") == "run\nrun\n"


def test_what_cannot_be_started_again_stays_as_it_ended(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("1")
    run(box, "always", FOREVER, "-v", f"{tmp_path}/config:/bin/config:ro")
    until(lambda: box.ok("logs", "job") == "up\n")
    (tmp_path / "config").unlink()
    (tmp_path / "config").symlink_to("/nonexistent/folder")
    os.kill(inspected(box)["State"]["Pid"], signal.SIGKILL)
    until(lambda: not inspected(box)["State"]["Running"])
    assert state(box, "job").startswith("Exited (137) ")
    assert inspected(box)["State"]["Error"]


def test_one_whose_output_cannot_be_kept_any_more_stays_as_it_ended_too(box: Wherry) -> None:
    """Its process has been started by then."""
    run(box, "always", "exit 3")
    log = Path(folder(box), "log.jsonl")
    log.rename(log.with_name("before"))
    log.mkdir()
    until(lambda: not inspected(box)["State"]["Running"])
    assert state(box, "job").startswith("Exited (3) ")
    assert "log.jsonl: Is a directory" in inspected(box)["State"]["Error"]


def test_a_killed_monitor_is_told(box: Wherry) -> None:
    run(box, "always", "exit 3")
    path = Path(folder(box), "state.json")

    def waits() -> bool:
        """For seconds, after its fifth run."""
        now = json.loads(path.read_text())
        return bool(now["restarts"] >= 5 and now["status"] == "restarting")

    until(waits)
    os.kill(monitor_of(box, "job"), signal.SIGKILL)
    until(lambda: state(box, "job").startswith("Exited (3) "))
    assert inspected(box)["State"]["Error"] == "its monitor was killed before it was started again"


def test_the_patience_of_a_restart_ends_with_what_it_is_for(box: Wherry) -> None:
    """What is to be killed after a second, where it does not end by itself, is not what comes next."""
    run(box, "no", FOREVER)
    until(lambda: box.ok("logs", "job") == "up\n")
    box.ok("restart", "-t", "1", "job")
    box.ok("exec", "job", "sleep", "1.5")


def test_a_stopped_terminal_does_not_hold_up_the_restart(box: Wherry) -> None:
    """Somebody who is attached and does not read."""
    script = "head -c 600000 /dev/zero; exit 3"
    words = ("run", "--name", "job", "--restart", "always", *QUIET, "busybox", "sh", "-c", script)
    attached = subprocess.Popen([*COMMAND, *words], env=box.environment, stdout=subprocess.PIPE)
    try:
        until(lambda: box.ok("ps", "-q") != "")
        attached.send_signal(signal.SIGSTOP)
        until(lambda: inspected(box)["RestartCount"] >= 1)
    finally:
        attached.kill()
        attached.communicate()


def test_restart_and_rm_do_not_go_together(box: Wherry) -> None:
    refused = box("run", "--rm", "--restart", "always", "busybox", "true")
    assert refused.code == 125
    assert "--restart and --rm cannot go together" in refused.err
    assert box("run", "--rm", "--restart", "no", *QUIET, "busybox", "true").code == 0
