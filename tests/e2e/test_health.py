"""Health checks: what is run, what it says of a container, and who waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from support import busybox, ordinary
from support.cli import COMMAND, Wherry
from support.containers import boxed, is_connected, monitor_of, state
from support.ports import free, until
from support.running import unique
from wherry.oci.config import Execution, Healthcheck

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
OFTEN = ("--health-interval", "50ms", "--health-retries", "2")
PATIENT = ("--health-start-period", "1h", "--health-start-interval", "50ms")
FOREVER = ("busybox", "sleep", "1000")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def run(box: Wherry, check: str, *words: str) -> None:
    box.ok("run", "-d", "--name", "web", *QUIET, *OFTEN, "--health-cmd", check, *words, *FOREVER)


def inspected(box: Wherry) -> Any:
    return json.loads(box.ok("inspect", "web"))[0]


def health(box: Wherry) -> Any:
    return inspected(box)["State"].get("Health")


def test_life(box: Wherry) -> None:
    run(
        box, "echo asked; test -e /tmp/well", "--health-start-period", "1h", "--health-start-interval", "50ms"
    )
    assert state(box, "web").endswith(" (health: starting)")
    until(lambda: len(health(box)["Log"]) == 5)
    assert (health(box)["Status"], health(box)["FailingStreak"]) == ("starting", 0)
    assert box.ok("ps", "-q", "--filter", "health=starting")
    box.ok("exec", "web", "touch", "/tmp/well")
    until(lambda: state(box, "web").endswith(" (healthy)"))
    assert health(box)["Log"][-1]["Output"] == "asked\n"
    assert health(box)["Log"][-1]["ExitCode"] == 0
    box.ok("exec", "web", "rm", "/tmp/well")
    until(lambda: state(box, "web").endswith(" (unhealthy)"))
    assert health(box)["FailingStreak"] >= 2
    assert health(box)["Log"][-1]["ExitCode"] == 1
    assert box.ok("ps", "-q", "--filter", "health=unhealthy")
    assert box.ok("ps", "-q", "--filter", "health=none") == ""
    box.ok("exec", "web", "touch", "/tmp/well")
    until(lambda: health(box)["Status"] == "healthy")
    until(lambda: len(health(box)["Log"]) == 5)
    box.ok("stop", "-t", "0", "web")
    assert health(box)["Status"] == "unhealthy"
    assert state(box, "web").startswith("Exited (137) ")
    said = box.ok("events", "--since", "1h", "--until", "0s", "--filter", "event=health_status")
    assert [line.split("health_status: ")[1].split(" ")[0] for line in said.splitlines()] == [
        "healthy",
        "unhealthy",
        "healthy",
    ]


def test_a_check_runs_as_the_container_does(box: Wherry) -> None:
    check = 'echo "$(id -u) $PWD $COLOR $HOME"; echo problem >&2; exit 3'
    run(box, check, "-u", "web", "-w", "/tmp", "-e", "COLOR=red")
    until(lambda: health(box)["Status"] == "unhealthy")
    result = health(box)["Log"][-1]
    assert result["ExitCode"] == 3
    assert sorted(result["Output"].splitlines()) == ["1000 /tmp red /home/web", "problem"]
    assert result["Start"] < result["End"]


def test_output_is_cut(box: Wherry) -> None:
    run(box, "head -c 100000 /dev/zero | tr '\\0' x; printf '\\377'")
    until(lambda: health(box)["Status"] == "healthy")
    assert health(box)["Log"][-1]["Output"] == "x" * 4096 + "..."
    box.ok("rm", "-f", "web")
    run(box, "printf '\\377'")
    until(lambda: health(box)["Status"] == "healthy")
    assert health(box)["Log"][-1]["Output"] == "\ufffd"


def test_a_check_that_takes_too_long_is_a_failure(box: Wherry) -> None:
    mark = unique()
    run(box, f"echo begun; sleep {mark} & wait", "--health-timeout", "200ms")
    until(lambda: health(box)["Status"] == "unhealthy")
    late = {"ExitCode": -1, "Output": "Health check exceeded timeout (0.2s): begun\n"}
    until(lambda: any(late.items() <= result.items() for result in health(box)["Log"]))


def test_a_late_check_is_killed_with_what_it_has_started(box: Wherry) -> None:
    mark = unique()
    run(box, f"sleep {mark} & sleep {mark}", "--health-timeout", "100ms")
    until(lambda: health(box)["FailingStreak"] >= 3)
    listed = [line for line in box.ok("exec", "web", "ps").splitlines() if mark in line]
    assert len(listed) <= 3, listed  # of one check
    assert inspected(box)["State"]["Running"]


def test_what_cannot_be_executed_is_a_failure(box: Wherry) -> None:
    check = Healthcheck(("CMD", "nothing-of-that-name"), interval=50_000_000, retries=1)
    busybox.put(box.root, "checked", Execution(cmd=("sleep", "1000"), healthcheck=check))
    box.ok("run", "-d", "--name", "web", *QUIET, "checked")
    until(lambda: health(box)["Status"] == "unhealthy")
    assert "nothing-of-that-name" in health(box)["Log"][-1]["Output"]
    assert health(box)["Log"][-1]["ExitCode"] in (-1, 127)


def test_the_images_check_and_the_users_words(box: Wherry) -> None:
    check = Healthcheck(("CMD-SHELL", "echo image; $0 -c true"), interval=50_000_000, retries=7)
    execution = Execution(cmd=("sleep", "1000"), healthcheck=check, shell=("/bin/ash", "-e", "-c"))
    busybox.put(box.root, "checked", execution)
    box.ok("run", "-d", "--name", "web", *QUIET, "--health-timeout", "7s", "checked")
    until(lambda: health(box)["Status"] == "healthy")
    assert inspected(box)["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "echo image; $0 -c true"],
        "Interval": 50_000_000,
        "Timeout": 7_000_000_000,
        "Retries": 7,
    }
    box.ok("rm", "-f", "web")
    box.ok("run", "-d", "--name", "web", *QUIET, "--no-healthcheck", "checked")
    assert health(box) is None
    assert box.ok("ps", "-q", "--filter", "health=none")
    assert not state(box, "web").endswith(")")


def test_exec_goes_on_while_a_check_runs(box: Wherry) -> None:
    run(box, "sleep 1000", "--health-timeout", "100s")
    assert box.ok("exec", "web", "echo", "heard") == "heard\n"
    assert box.ok("stop", "-t", "0", "web") == "web\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-* options"),
        (["--health-interval", "-1s"], "the interval of the health check cannot be negative"),
        (["--health-timeout", "10us"], "the timeout of the health check cannot be less than 1ms"),
        (["--health-start-period", "5"], "--health-start-period: invalid duration '5'"),
        (["--health-retries", "-2"], "the retries of the health check cannot be negative"),
        (["--wait"], "--wait is for containers in the background"),
        (["-d", "--wait-timeout", "3"], "--wait-timeout needs --wait"),
    ],
)
def test_words_that_cannot_be(box: Wherry, words: list[str], message: str) -> None:
    refused = box("run", *words, "busybox", "true")
    assert (refused.code, message in refused.err) == (125, True), refused.err
    assert box.ok("ps", "-aq") == ""


def test_wait_returns_when_it_is_healthy(box: Wherry) -> None:
    words = ("-d", "--wait", "--name", "web", *QUIET, "--health-cmd", "test -e /tmp/well", *OFTEN, *PATIENT)
    box.ok("run", *words, "busybox", "sh", "-c", "sleep 0.3; > /tmp/well; sleep 1000")
    assert state(box, "web").endswith(" (healthy)")


def test_unhealthy_and_ended_are_errors(box: Wherry) -> None:
    wait = ("run", "-d", "--wait", *QUIET, *OFTEN)
    ill = box(*wait, "--name", "ill", "--health-cmd", "echo it is ill; exit 2", *FOREVER)
    assert ill.code == 1
    assert "error: container ill is unhealthy\n" in ill.err
    assert "the last health check (exit code 2):\nit is ill\n" in ill.err
    assert state(box, "ill").endswith(" (unhealthy)")
    ended = box(
        *wait,
        "--name",
        "over",
        "--health-cmd",
        "true",
        "--health-interval",
        "1h",
        "busybox",
        "sh",
        "-c",
        "echo last words; exit 3",
    )
    assert ended.code == 1
    assert "error: container over ended with exit code 3 before it was healthy\n" in ended.err
    assert "\nlast words\n" in ended.err
    gone = box(
        *wait,
        "--rm",
        "--health-cmd",
        "true",
        "--health-interval",
        "1h",
        "busybox",
        "sh",
        "-c",
        "sleep 0.3; echo last words; exit 3",
    )
    assert gone.code == 1
    assert "\nlast words\n" in gone.err
    late = box(
        *wait,
        "--name",
        "late",
        "--wait-timeout",
        "0.2",
        "--health-cmd",
        "false",
        "--health-interval",
        "1h",
        *FOREVER,
    )
    assert late.code == 1
    assert "error: container late was not healthy in time\n" in late.err
    assert "Up " in state(box, "late")


def test_start_and_restart_wait_too(box: Wherry) -> None:
    run(box, "test -e /tmp/well")
    until(lambda: health(box)["Status"] == "unhealthy")
    assert box("restart", "-t", "0", "--wait", "web").code == 1
    box.ok("exec", "web", "touch", "/tmp/well")
    assert box.ok("start", "--wait", "web") == "web\n"
    assert box.ok("restart", "-t", "0", "--wait", "web") == "web\n"
    assert health(box)["Status"] == "healthy"
    box.ok("stop", "-t", "0", "web")
    assert box.ok("start", "--wait", "web") == "web\n"
    assert health(box)["Status"] == "healthy"


def test_start_waits_for_one_that_is_restarting(box: Wherry) -> None:
    script = "test -e /root/well && exec sleep 1000; exit 3"
    words = ("--restart", "always", "--health-cmd", "true", *OFTEN, "-v", "shared:/root")
    box.ok("run", "-d", "--name", "web", *QUIET, *words, "busybox", "sh", "-c", script)
    until(lambda: inspected(box)["RestartCount"] >= 4 and inspected(box)["State"]["Restarting"])
    box.ok("run", "--rm", *QUIET, "-v", "shared:/root", "busybox", "touch", "/root/well")
    assert box.ok("start", "--wait", "web") == "web\n"
    assert health(box)["Status"] == "healthy"


def test_a_killed_monitor_is_told(box: Wherry) -> None:
    run(box, "true")
    until(lambda: health(box)["Status"] == "healthy")
    os.kill(monitor_of(box, "web"), signal.SIGKILL)
    until(lambda: state(box, "web").startswith("Exited (255) "))
    assert health(box)["Status"] == "unhealthy"


def test_who_waits_hears_of_a_killed_monitor(box: Wherry) -> None:
    run(box, "false", *PATIENT)
    words = [*COMMAND, "start", "--wait", "web"]
    waiting = subprocess.Popen(words, env=box.environment, stderr=subprocess.PIPE)
    until(lambda: is_connected(waiting.pid))
    os.kill(monitor_of(box, "web"), signal.SIGKILL)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert said == b"error: the monitor of container web was killed, and the container with it\n"


def test_without_a_check_it_need_only_run(box: Wherry) -> None:
    waited = box("run", "-d", "--wait", "--name", "web", *QUIET, *FOREVER)
    assert waited.code == 0
    assert "warning: container web has no health check to wait for\n" in waited.err


def test_one_that_is_started_again_is_waited_for(box: Wherry) -> None:
    script = "echo >> /root/runs; test $(wc -l < /root/runs) -lt 3 && exit 3; touch /tmp/well; sleep 1000"
    words = ("--restart", "always", "--health-cmd", "test -e /tmp/well", *PATIENT)
    box.ok("run", "-d", "--wait", "--name", "web", *QUIET, *words, "busybox", "sh", "-c", script)
    assert inspected(box)["RestartCount"] == 2
    assert health(box)["Status"] == "healthy"


@pytest.mark.needs("newuidmap", "setpriv")
def test_for_an_ordinary_user() -> None:
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        box = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        port = free()
        once = "test -e /tmp/failed || { > /tmp/failed; exit 3; }"
        script = f"mkdir -p /tmp/w; {once}; exec httpd -f -p 8080 -h /tmp/w"
        words = ("--restart", "on-failure", "-p", f"{port}:8080", "-u", "web", *PATIENT)
        check = ("--health-cmd", "wget -qO- http://127.0.0.1:8080/ 2>&1 | grep -q 404 && id -u")
        try:
            box.ok("run", "-d", "--wait", "--name", "web", *words, *check, "busybox", "sh", "-c", script)
            assert health(box)["Log"][-1]["Output"] == "1000\n"
            assert inspected(box)["RestartCount"] == 1
            with pytest.raises(OSError, match="404"):
                urlopen(f"http://127.0.0.1:{port}/")
            assert box.ok("restart", "-t", "0", "--wait", "web") == "web\n"
            assert state(box, "web").endswith(" (healthy)")
        finally:
            box("rm", "-f", "web")
