"""`wherry events`: what happened, told by whoever did it, or found it out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from support.cli import COMMAND, Wherry
from support.containers import boxed, monitor_of, opened
from support.ports import until

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
PAST = ("--since", "24h", "--until", "0s")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def told(box: Wherry, *words: str) -> list[str]:
    form = "{{.Type}} {{.Action}}{{with .Actor.Attributes.exitCode}} {{.}}{{end}}"
    return box.ok("events", *PAST, "--format", form, *words).splitlines()


def test_the_life_of_a_container(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", "-v", "data:/data", *QUIET, "busybox", "sleep", "1000")
    assert box("exec", "web", "sh", "-c", "exit 3 # secret").code == 3
    box.ok("rename", "web", "app")
    box.ok("restart", "-t", "0", "app")
    box.ok("rm", "-f", "app")
    assert told(box, "--filter", "type=container", "--filter", "type=volume") == [
        "volume create",
        "container create",
        "volume mount",
        "container start",
        "container exec_create: sh",
        "container exec_start: sh",
        "container exec_die 3",
        "container rename",
        "container kill",
        "container kill",
        "container die 137",
        "volume unmount",
        "container stop",
        "volume mount",
        "container start",
        "container restart",
        "container kill",
        "container die 137",
        "volume unmount",
        "container destroy",
    ]
    assert "secret" not in box.ok("events", *PAST)
    names = box.ok("events", *PAST, "--filter", "event=die", "--format", "{{.Actor.Attributes.name}}")
    assert names == "app\napp\n"


def test_a_container_that_goes_with_its_end(box: Wherry) -> None:
    assert box("run", "--rm", "-v", "/data", *QUIET, "busybox", "sh", "-c", "exit 7").code == 7
    assert told(box, "--filter", "type=container") == [
        "container create",
        "container start",
        "container die 7",
        "container destroy",
    ]
    assert told(box, "--filter", "type=volume")[-1] == "volume destroy"


def test_images(box: Wherry) -> None:
    box.ok("tag", "busybox", "other:v1")
    box.ok("save", "-o", f"{box.root}/archive", "other:v1")
    box.ok("rmi", "other:v1")
    box.ok("load", "-i", f"{box.root}/archive")
    box.ok("rmi", "-f", "busybox", "other:v1")
    found = box.ok("events", *PAST, "--format", "{{.Action}} {{.Actor.Attributes.name}}").splitlines()
    assert [line for line in found if not line.startswith("delete")] == [
        "tag busybox:latest",
        "tag other:v1",
        "save other:v1",
        "untag other:v1",
        "tag other:v1",
        "load other:v1",
        "untag busybox:latest",
        "untag other:v1",
    ]
    assert found[-1].startswith("delete sha256:")


def test_events_are_told_as_they_come(box: Wherry) -> None:
    box.ok("run", "--rm", *QUIET, "busybox", "true")
    words = [*COMMAND, "events", "--filter", "type=container", "--format", "json"]
    following = subprocess.Popen(words, env=box.environment, stdout=subprocess.PIPE)
    log = f"{box.root}/events/log"
    try:
        until(lambda: log in opened(following.pid))
        box.ok("run", "--rm", "--name", "web", "-l", "tier=front", *QUIET, "busybox", "true")
        assert following.stdout
        found = [json.loads(following.stdout.readline()) for _ in range(4)]
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    finally:
        following.kill()
        following.communicate()
    assert [event["Action"] for event in found] == ["create", "start", "die", "destroy"]
    assert found[0] == {
        "status": "create",
        "id": found[0]["id"],
        "from": "busybox",
        "Type": "container",
        "Action": "create",
        "Actor": {
            "ID": found[0]["id"],
            "Attributes": {"image": "busybox", "name": "web", "tier": "front"},
        },
        "scope": "local",
        "time": found[0]["timeNano"] // 10**9,
        "timeNano": found[0]["timeNano"],
    }


def test_lines_are_docker_s(box: Wherry) -> None:
    box.ok("run", "--rm", "--name", "web", *QUIET, "busybox", "true")
    line = box.ok("events", *PAST, "--filter", "event=die").rstrip("\n")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d container die [0-9a-f]{64} "
        r"\(execDuration=\d+, exitCode=0, image=busybox, name=web\)",
        line,
    )


def test_the_end_that_a_killed_monitor_did_not_tell_is_told_by_who_finds_it_out(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sleep", "1000")
    os.kill(monitor_of(box, "web"), signal.SIGKILL)
    until(lambda: "Exited (255)" in box.ok("ps", "-a"))
    box.ok("ps", "-a")
    assert told(box, "--filter", "event=die") == ["container die 255"]


def test_what_cannot_be_asked(box: Wherry) -> None:
    assert "is after --until" in box("events", "--since", "1h", "--until", "2h").err
    assert "invalid filter: 'node'" in box("events", "--filter", "node=x").err
