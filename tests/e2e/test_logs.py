"""`wherry logs`: of logs that are turned over, bounded in time, on a disk that is full, or not there."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import COMMAND, Wherry
from support.containers import boxed, state
from support.ports import until
from wherry.container.log import timestamp

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
COUNT = "i=0; while [ $i -lt {0} ]; do echo line $i; i=$((i+1)); done"


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def lines(first: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(first, end)]


def test_a_log_is_turned_over(box: Wherry) -> None:
    bounds = ("--log-opt", "max-size=10kb", "--log-opt", "max-file=2")
    box.ok("run", "--name", "job", *bounds, *QUIET, "busybox", "sh", "-c", COUNT.format(1000))
    kept = box.ok("logs", "job").splitlines()
    assert 100 < len(kept) < 250
    assert kept == lines(1000 - len(kept), 1000)
    folder = next(box.root.glob("containers/*/log.jsonl")).parent
    assert sorted(path.name for path in folder.glob("log*")) == ["log.jsonl", "log.jsonl.1"]
    assert box.ok("logs", "-n", "150", "job").splitlines() == lines(1000 - min(150, len(kept)), 1000)
    box.ok("start", "-a", "job")
    assert box.ok("logs", "-n", "2", "job").splitlines() == lines(998, 1000)


def test_who_follows_sees_a_log_turned_over(box: Wherry) -> None:
    """Ten files come and go; after each the container waits for whoever follows."""
    script = f"n=0; while [ $n -lt 20 ]; do {COUNT.format(60)}; n=$((n+1)); read go; done"
    bounds = ("--log-opt", "max-size=10k", "--log-opt", "max-file=2")
    box.ok("run", "-di", "--name", "job", *bounds, *QUIET, "busybox", "sh", "-c", script)
    feeding = subprocess.Popen([*COMMAND, "attach", "job"], env=box.environment, stdin=subprocess.PIPE)
    words = [*COMMAND, "logs", "-f", "job"]
    following = subprocess.Popen(words, env=box.environment, stdout=subprocess.PIPE, text=True)
    assert following.stdout
    assert feeding.stdin
    for _ in range(20):
        assert [following.stdout.readline().rstrip("\n") for _ in range(60)] == lines(0, 60)
        feeding.stdin.write(b"go\n")
        feeding.stdin.flush()
    assert following.stdout.read() == ""
    assert (following.wait(), feeding.wait()) == (0, 0)


def test_logs_of_a_span_of_time(box: Wherry) -> None:
    box.ok(
        "run", "--name", "job", *QUIET, "busybox", "sh", "-c", "echo one; sleep 0.05; echo two; echo three"
    )
    times = [line.split()[0] for line in box.ok("logs", "-t", "job").splitlines()]
    begin = times[0][:23] + "Z"
    assert box.ok("logs", "--until", begin, "job") == ""
    between = ("--since", begin, "--until", times[1][:23] + "Z")
    assert box.ok("logs", *between, "job") == "one\n"
    assert box.ok("logs", "--until", "1h", "job") == ""
    assert box.ok("logs", "--until", timestamp(time.time_ns()), "job") == "one\ntwo\nthree\n"


def test_following_ends_at_a_time(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "job", *QUIET, "busybox", "sh", "-c", "echo one; sleep 1000")
    until(lambda: box.ok("logs", "job") == "one\n")
    end = timestamp(time.time_ns() + 10**8)
    assert box.ok("logs", "-f", "--until", end, "job") == "one\n"
    assert box.ok("logs", "-f", "--until", "0s", "job") == "one\n"


def test_details(box: Wherry) -> None:
    about = ("-l", "tier=front end", "-l", "b=c", "-e", "STAGE=x=y", "-e", "SECRET=no")
    wanted = ("--log-opt", "labels=tier,none", "--log-opt", "env=STAGE")
    box.ok("run", "--name", "job", *about, *wanted, *QUIET, "busybox", "echo", "hi")
    assert box.ok("logs", "--details", "job") == "STAGE=x%3Dy,tier=front+end hi\n"
    assert re.fullmatch(r"2\S+Z STAGE=x%3Dy,tier=front\+end hi\n", box.ok("logs", "--details", "-t", "job"))
    box.ok("run", "--name", "plain", *QUIET, "busybox", "echo", "hi")
    assert box.ok("logs", "--details", "plain") == " hi\n"


def test_a_container_without_a_log(box: Wherry) -> None:
    words = ("run", "--name", "job", "--log-driver", "none", *QUIET, "busybox", "echo", "hi")
    assert box.ok(*words) == "hi\n"
    refused = box("logs", "job")
    assert (refused.code, refused.out) == (1, "")
    assert "container job has no log" in refused.err
    assert not list(box.root.glob("containers/*/log.jsonl"))
    assert box.ok("inspect", "-f", "{{.HostConfig.LogConfig.Type}}{{.LogPath}}", "job") == "none\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--log-driver", "syslog"), "--log-driver syslog is not supported"),
        (("--log-opt", "max-size=much"), "invalid --log-opt max-size=much"),
        (("--log-opt", "max-size=0"), "invalid --log-opt max-size=0"),
        (("--log-opt", "max-file=0"), "invalid --log-opt max-file=0"),
        (("--log-opt", "tag=x"), "--log-opt tag is not supported"),
        (("--log-opt", "frob=x"), "--log-opt frob is not supported"),
        (("--log-opt", "max-size"), "invalid --log-opt max-size"),
        (("--log-opt", "mode=non-blocking"), "--log-opt mode=non-blocking is not supported"),
        (("--log-driver", "none", "--log-opt", "max-size=1m"), "is for --log-driver json-file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_log_cannot_be(box: Wherry, words: tuple[str, ...], told: str) -> None:
    refused = box("run", *words, *QUIET, "busybox", "true")
    assert refused.code == 125
    assert told in refused.err


@pytest.fixture
def small(wherry: Wherry, tmp_path: Path) -> Iterator[Wherry]:
    """As `box`, on a disk of 12 MiB, of which the image takes two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=True)
    try:
        mode = wherry.environment.get("WHERRY_ISOLATION", "auto")
        with boxed(Wherry(disk / "store", wherry.root, {"WHERRY_ISOLATION": mode})) as box:
            yield box
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_costs_log_and_not_the_container(small: Wherry) -> None:
    script = "head -c 16000000 /dev/zero | tr '\\0' x | fold -w 1000; echo full; read go; echo after; exit 4"
    words = ("--name", "job", "-i", "--log-opt", "max-size=-1", *QUIET, "busybox", "sh", "-c", script)
    running = subprocess.Popen(
        [*COMMAND, "run", *words], env=small.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdout
    assert running.stdin
    written = 16_000_000 + 15_999 + len("full\n")
    assert len(running.stdout.read(written)) == written
    subprocess.run(["mount", "-o", "remount,size=24m", small.root.parent], check=True)
    running.stdin.write(b"go\n")
    running.stdin.close()
    assert running.stdout.read() == b"after\n"
    assert running.wait() == 4
    shown = small("logs", "job")
    assert shown.out.endswith("x\nafter\n")
    missing = re.findall(r"^warning: (\d+) bytes of output are missing here: ", shown.err, re.MULTILINE)
    assert missing
    assert len(shown.out) + sum(map(int, missing)) == written + len("after\n")
    assert state(small, "job").startswith("Exited (4)")
    small.ok("rm", "job")


def test_the_end_is_written_down_on_a_full_disk(small: Wherry) -> None:
    script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"
    small.ok("run", "-d", "--name", "job", *QUIET, "busybox", "sh", "-c", script)
    until(lambda: small.ok("logs", "job") == "up\n")
    with open(small.root / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    small.ok("kill", "-s", str(signal.SIGTERM.value), "job")
    assert small.ok("wait", "job") == "9\n"
    assert state(small, "job").startswith("Exited (9)")
    (small.root / "filler").unlink()
    small.ok("rm", "job")
