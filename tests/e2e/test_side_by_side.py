"""Steps side by side: equal ones are executed once, in one build and in several; others do not wait."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import busybox, cli, ordinary
from support.cli import Wherry

pytestmark = pytest.mark.needs("root", "newuidmap")

PATIENCE = 180


class Place:
    """A store, and a folder that its steps see as /c: what tests and steps tell each other."""

    def __init__(self, wherry: Wherry, folder: Path, name: str) -> None:
        self.wherry = wherry
        self.folder = folder / name
        self.name = name
        self.running: list[subprocess.Popen[bytes]] = []

    def write(self, *lines: str) -> None:
        """`RUN!` is a RUN with the folder /c."""
        mount = f"RUN --mount=type=cache,target=/c,id={self.name} "
        text = "FROM busybox\n" + "\n".join(lines).replace("RUN! ", mount) + "\n"
        cli.write_files(self.folder, {"Dockerfile": text, ".dockerignore": "Dockerfile", "x": "1", "y": "1"})
        self.folder.chmod(0o755)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        process = self.wherry.start("build", "--progress=plain", *options, self.folder)
        self.running.append(process)
        return process

    def cache(self) -> Path | None:
        """The folder /c, once a step that counts itself has begun."""
        found = [path for path in self.wherry.root.glob("cache-mounts/*/0") if (path / self.name).exists()]
        return found[0] if found else None

    def count(self) -> int:
        """How often steps that count themselves were executed."""
        folder = self.cache()
        return len((folder / "count").read_text()) if folder else 0

    def let_go(self) -> None:
        """Those that are executed may end."""
        wait_for(lambda: self.count() > 0, "the step did not start")
        folder = self.cache()
        assert folder is not None
        (folder / "go").touch()


def executes(name: str) -> str:
    """Words of a step that counts itself and waits to be let go."""
    return f"echo >> /c/count; touch /c/{name}; until test -e /c/go; do sleep 0.05; done"


@pytest.fixture(params=["root", "userns", "single-id"], scope="module")
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wherry, Path]]:
    if request.param == "root":
        folder = tmp_path_factory.mktemp("side")
        wherry = Wherry(folder / "wherry", folder / "docker")
        busybox.put(wherry.root, "busybox")
        yield wherry, folder
        return
    with ordinary.user(subordinate=request.param == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, wherry.root, "busybox")
        yield wherry, user.home.parent


@pytest.fixture
def place(request: pytest.FixtureRequest, stores: tuple[Wherry, Path]) -> Iterator[Place]:
    found = Place(*stores, request.node.name.partition("[")[0])
    yield found
    for process in found.running:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def read_until(process: subprocess.Popen[bytes], pattern: str) -> str:
    """The progress up to a line that matches."""
    assert process.stderr is not None
    source, text = process.stderr.fileno(), ""
    end = time.monotonic() + PATIENCE
    while not re.search(rf"^{pattern}$", text, re.MULTILINE):
        ready, _, _ = select.select([source], [], [], max(0, end - time.monotonic()))
        data = os.read(source, 65536) if ready else b""
        assert data, text
        text += data.decode()
    return text


def ended(process: subprocess.Popen[bytes], code: int = 0) -> str:
    err = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == code, err
    return err


def both(place: Place) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Two builds: the first one executes the step, the second one waits for it."""
    first = place.start()
    wait_for(lambda: place.count() == 1, "the step did not start")
    second = place.start()
    read_until(second, rf"#\d+ [0-9.]+ waiting for another build that executes this step \(pid {first.pid}\)")
    return first, second


def test_two_builds_execute_a_step_once(place: Place) -> None:
    place.write("COPY . /d", f"RUN! {executes(place.name)}", "RUN cat /proc/sys/kernel/random/uuid > /id")
    first, second = both(place)
    place.let_go()
    ended(first)
    assert re.findall(r"#\d+ CACHED", ended(second)), "the result of the other build is taken"
    assert place.count() == 1
    assert len(set(place.wherry.ok("images", "-q").split())) == 2, "busybox and one image"


def test_a_killed_build_leaves_its_turn(place: Place) -> None:
    place.write(f"RUN! {executes(place.name)}")
    first, second = both(place)
    first.send_signal(signal.SIGKILL)
    wait_for(lambda: place.count() == 2, "the other build did not execute the step")
    place.let_go()
    assert "DONE" in ended(second)


def test_when_the_step_fails_the_other_build_executes_it(place: Place) -> None:
    place.write(f"RUN! {executes(place.name)}; mkdir /c/first && exit 3; true")
    first, second = both(place)
    place.let_go()
    assert "exit code: 3" in ended(first, 1)
    assert "DONE" in ended(second)
    assert place.count() == 2


def test_ctrl_c_while_it_waits(place: Place) -> None:
    place.write(f"RUN! {executes(place.name)}")
    first, second = both(place)
    second.send_signal(signal.SIGINT)
    err = ended(second, 130)
    assert "Traceback" not in err
    place.let_go()
    assert "DONE" in ended(first)


def test_without_a_cache_nobody_is_waited_for(place: Place) -> None:
    place.write(f"RUN! {executes(place.name)}")
    first = place.start()
    wait_for(lambda: place.count() == 1, "the step did not start")
    second = place.start("--no-cache")
    wait_for(lambda: place.count() == 2, "the step did not start a second time")
    place.let_go()
    assert "DONE" in ended(first)
    assert "DONE" in ended(second)


def test_equal_steps_of_two_stages_are_executed_once(place: Place) -> None:
    """Nobody can tell that they are equal before both stages have the same layers."""
    place.write(
        "COPY x /d",
        f"RUN! {executes(place.name)}",
        "FROM busybox",
        "COPY y /d",
        f"RUN! {executes(place.name)}",
        "COPY --from=0 /d /e",
    )
    process = place.start("--jobs=2")
    read_until(process, r"#\d+ [0-9.]+ waiting for another step of this build that is the same")
    place.let_go()
    ended(process)
    assert place.count() == 1


def test_stages_run_at_the_same_time(place: Place) -> None:
    """Each one ends only if the other one has begun."""

    def meets(me: str, other: str) -> str:
        return f"RUN! touch /c/{me}; until test -e /c/{other}; do sleep 0.05; done; echo > /{me}"

    place.write(meets("a", "b"), "FROM busybox", meets("b", "a"), "COPY --from=0 /a /a")
    ended(place.start("--jobs=2"))


def test_the_output_of_steps_does_not_mix(place: Place) -> None:
    def prints(me: str, other: str) -> str:
        letters = "for i in 0 1 2 3 4 5 6 7 8 9; do printf '%s' $i; sleep 0.01; done"
        lines = f"for n in 1 2 3 4 5; do printf '{me}-'; {letters}; printf '\\r{me}='; {letters}; echo; done"
        end = f"printf '{me} has no end'"
        return f"RUN! touch /c/{me}; until test -e /c/{other}; do sleep 0.05; done; {lines}; {end}"

    place.write(prints("a", "b"), "FROM busybox", prints("b", "a"), "COPY --from=0 /etc/passwd /p")
    err = ended(place.start("--jobs=2"))
    number = {}
    said: dict[str, list[str]] = {}
    for line in err.splitlines():
        if found := re.fullmatch(r"#(\d+) \[.* RUN --mount.*touch /c/(.);.*", line):
            number[found[1]] = found[2]
        elif (found := re.fullmatch(r"#(\d+) [0-9.]+ (.*)", line)) and found[1] in number:
            said.setdefault(number[found[1]], []).append(found[2])
    assert said == {me: [f"{me}=0123456789"] * 5 + [f"{me} has no end"] for me in "ab"}
