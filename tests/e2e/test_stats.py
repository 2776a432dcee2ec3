"""`wherry top` and `wherry stats`: what goes on in containers, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from support import ordinary
from support.cli import COMMAND, Wherry
from support.containers import boxed
from support.ports import until

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
FULL = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo full; sleep 1000; true"
"""A shell that holds 20 MB."""


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def top(box: Wherry, *words: str) -> list[list[str]]:
    header, *rows = box.ok("top", *words).splitlines()
    return [row.split(maxsplit=len(header.split()) - 1) for row in rows]


def stats(box: Wherry, *words: str) -> list[dict[str, str]]:
    lines = box.ok("stats", "--no-stream", "--format", "json", *words).splitlines()
    return [json.loads(line) for line in lines]


def test_top_shows_the_processes_as_this_machine_has_them(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sh", "-c", "sleep 1001 & sleep 1002; true")
    box.ok("exec", "-d", "-u", "web", "web", "sleep", "1003")
    until(lambda: len(top(box, "web")) == 4)
    rows = top(box, "web", "-o", "pid,uid,args")
    assert sorted(row[2] for row in rows) == [
        "sh -c sleep 1001 & sleep 1002; true",
        *(f"sleep 100{n}" for n in (1, 2, 3)),
    ]
    for pid, _, words in rows:
        with open(f"/proc/{pid}/cmdline") as file:
            assert file.read().rstrip("\0").replace("\0", " ") == words
    assert rows[0][0] == box.ok("inspect", "-f", "{{.State.Pid}}", "web").strip()
    assert box.ok("top", "web").split("\n")[0].split() == [
        "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
    ]  # fmt: skip
    assert "sleep 1003" in box.ok("top", "web", "aux")


def test_top_of_what_does_not_run(box: Wherry) -> None:
    box.ok("create", "--name", "web", "busybox")
    refused = box("top", "web")
    assert (refused.code, refused.err) == (1, "error: container web is not running\n")
    assert "there is no column 'frob'" in box("top", "web", "-o", "frob").err


def test_stats_of_memory_and_processes(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "big", *QUIET, "busybox", "sh", "-c", FULL)
    box.ok("run", "-d", "--name", "small", *QUIET, "busybox", "sh", "-c", "sleep 1001 & sleep 1002; true")
    box.ok("create", "--name", "idle", "busybox")
    until(lambda: box.ok("logs", "big") == "full\n" and len(top(box, "small")) == 3)
    found = {row["Name"]: row for row in stats(box, "-a")}
    assert set(found) == {"big", "small", "idle"}
    assert 19 < float(found["big"]["MemUsage"].partition("MiB /")[0]) < 200
    assert found["small"]["PIDs"] == "3"
    assert found["small"]["MemUsage"].partition(" / ")[0].endswith(("kB", "KiB", "MiB"))
    assert found["idle"] == {
        "Container": found["idle"]["ID"],
        "ID": found["idle"]["ID"],
        "Name": "idle",
        "CPUPerc": "0.00%",
        "MemUsage": "0B / 0B",
        "MemPerc": "0.00%",
        "NetIO": "0B / 0B",
        "BlockIO": "0B / 0B",
        "PIDs": "0",
    }
    assert {row["Name"] for row in stats(box)} == {"big", "small"}
    assert [row["Name"] for row in stats(box, "small")] == ["small"]
    assert box.ok("stats", "--no-stream", "small").startswith(
        "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT"
    )


def test_stats_of_processors(box: Wherry) -> None:
    """Of the two the busy one uses more, however much else this machine has to do; what it forks counts."""
    box.ok(
        "run", "-d", "--name", "busy", *QUIET, "busybox", "sh", "-c", "for n in $(seq 999999); do (:); done"
    )
    box.ok("run", "-d", "--name", "idle", *QUIET, "busybox", "sleep", "1000")

    def used() -> dict[str, float]:
        return {row["Name"]: float(row["CPUPerc"].rstrip("%")) for row in stats(box)}

    until(lambda: used()["busy"] > used()["idle"])


def test_stats_go_on(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sleep", "1000")
    words = [*COMMAND, "stats", "--format", "{{.Name}} {{.PIDs}}"]
    process = subprocess.Popen(words, env=box.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["web 1\n"] * 2
    finally:
        process.terminate()
        process.communicate()


def test_a_limit_is_what_there_is(box: Wherry) -> None:
    started = box("run", "-d", "--name", "web", "--memory", "64m", *QUIET, "busybox", "sh", "-c", FULL)
    if "cgroup" in started.err:
        pytest.skip("no limits here")
    until(lambda: box.ok("logs", "web") == "full\n")
    (found,) = stats(box)
    assert found["MemUsage"].endswith(" / 64MiB")
    assert 25 < float(found["MemPerc"].rstrip("%")) < 100


@pytest.mark.needs("newuidmap", "setpriv")
@pytest.mark.parametrize("subordinate", [True, False], ids=["ranges", "one-id"])
def test_an_ordinary_user_sees_his_own(subordinate: bool) -> None:
    with ordinary.user(subordinate) as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        own_mode = {"WHERRY_ISOLATION": "auto", "WHERRY_RUNTIME": "native"}
        user = Wherry(root, someone.home / "docker", own_mode, someone.prefix)
        user.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sh", "-c", FULL)
        until(lambda: user.ok("logs", "web") == "full\n")
        if subordinate:
            user.ok("exec", "-d", "-u", "web", "web", "sleep", "1001")
            until(lambda: len(top(user, "web")) == 3)
            rows = top(user, "web", "-o", "uid,args")
            assert {row[1]: row[0] for row in rows}["sleep 1001"] == "1000"
        rows = top(user, "web", "-o", "pid,uid,args")
        assert rows[0][1] == "0"
        assert os.path.exists(f"/proc/{rows[0][0]}")
        (found,) = stats(user)
        assert 19 < float(found["MemUsage"].partition("MiB /")[0]) < 200
        user.ok("rm", "-f", "web")
