"""Builds killed at any instant, whole or in part: what the store says afterwards is true.

The instants are chosen at random, by a seed. Whatever they hit, every build after them has to give what a
store gives that nobody was killed in, and every layer has to be whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import busybox
from support.cli import Wherry, write_files
from support.progress import words

pytestmark = pytest.mark.needs("root")

# Every command's end counts: one of a RUN's own processes may be hit too, and what is left then is no result.
DOCKERFILE = """\
FROM busybox
WORKDIR /app
COPY . .
RUN set -eo pipefail; cat a b > /one; \\
    for x in 1 2 3 4 5 6 7 8; do cat a big; done | sha256sum >> /one; cp big /copy
RUN ls -R /app > /two && cp -r d /d
RUN cat /one /two c > /three && rm -r d
"""
_LISTENER = "anon_inode:seccomp notify"


def write(folder: Path, number: int) -> Path:
    """The project in one of several states."""
    files = {name: f"{name} {number // place % 2}\n" for place, name in ((1, "a"), (2, "c"), (4, "d/e"))}
    return write_files(folder, {"Dockerfile": DOCKERFILE, "b": "b", "big": "x" * 500_000, **files})


def layers(wherry: Wherry, folder: Path, tag: str) -> list[str]:
    wherry.ok("build", "-q", "-t", tag, folder)
    found: list[str] = json.loads(wherry.ok("inspect", "--format", "{{json .RootFS.Layers}}", tag))
    return found


def family(pid: int) -> list[int]:
    """A process and all that it started, itself first."""
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            pass  # it has ended
    return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def listener(pid: int) -> int | None:
    """The process that hears the system calls of a RUN."""
    for one in family(pid)[1:]:
        try:
            if os.readlink(f"/proc/{one}/fd/0") == _LISTENER:
                return one
        except OSError:
            pass
    return None


def ended(build: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, error = build.communicate(timeout=120)
    return build.returncode, error.decode()


def test_whatever_is_killed_at_whatever_instant_the_store_stays_true(tmp_path: Path) -> None:
    used, fresh = (Wherry(tmp_path / name, tmp_path / "docker") for name in ("used", "fresh"))
    for wherry in (used, fresh):
        busybox.put(wherry.root, "busybox")
    folder = tmp_path / "context"
    began = time.monotonic()
    expected = [layers(fresh, write(folder, number), str(number)) for number in range(2)]
    usual = (time.monotonic() - began) / 2
    chance = random.Random(5)
    for round_ in range(int(os.environ.get("WHERRY_TEST_KILLS", "8"))):
        build = used.start("build", "-q", write(folder, round_ % 8))
        time.sleep(chance.uniform(0.2, 1) * usual)
        which = chance.choice(("all", "itself", "one"))
        victims = family(build.pid)
        if which == "one" and len(victims) > 1:
            kill(chance.choice(victims[1:]))
        else:
            for victim in victims if which == "all" else victims[:1]:
                kill(victim)
        code, error = ended(build)
        assert code in (0, 1, -signal.SIGKILL), error
        assert "Traceback" not in error
    for number in range(8):
        write(folder, number)
        if number >= len(expected):
            expected.append(layers(fresh, folder, str(number)))
        assert layers(used, folder, str(number)) == expected[number]
    # Every layer's stream is compared with its digest on the way.
    used.ok("save", "-o", tmp_path / "all.tar", *map(str, range(8)))


def test_a_step_whose_listener_was_killed_has_no_result(tmp_path: Path) -> None:
    """Its system calls have failed from then on, whatever its process made of that."""
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "busybox")
    step = "RUN echo here; sleep 2; cat /a > /out; true"
    folder = write_files(tmp_path / "context", {"Dockerfile": f"FROM busybox\nCOPY a /a\n{step}\n", "a": "a"})
    build = wherry.start("build", "--progress", "plain", folder)
    assert build.stderr is not None
    while not (line := build.stderr.readline()).endswith(b" here\n"):
        assert line
    hearing = listener(build.pid)
    assert hearing is not None
    kill(hearing)
    code, error = ended(build)
    assert code == 1
    assert "the process that hears the system calls of a container has failed" in error
    assert words(wherry, folder)[step] == "DONE"
    assert words(wherry, folder)[step] == "CACHED"
