"""Real applications: under load, killed, and many of them at once."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import bases, ordinary, programs
from support.cli import Wherry
from support.containers import monitor_of, process_of, processes_of, state
from support.load import Answers, put_on
from support.ports import answers, ask, free, until
from support.programs import path_without
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "docker-registry", "skopeo", "mmdebstrap")

EXAMPLES = Path(__file__).parents[2] / "examples"

PAGE = (EXAMPLES / "static-nginx" / "site" / "index.html").read_bytes()

MANY = 50


@pytest.fixture(params=["root", "user"])
def somebody(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wherry]:
    """The command line on a store with the image `site`: nginx for a user without rights.

    Nothing of what was started there runs at the end, and nothing is mounted.
    """
    if request.param == "root":
        wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
        with Store.open(str(wherry.root)) as store:
            bases.seed(store, "nginx:latest")
        yield from _with_site(wherry)
        return
    programs.require("newuidmap", "setpriv")
    with ordinary.user() as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        with Store.open(str(wherry.root)) as store:
            bases.seed(store, "nginx:latest")
        ordinary.hand_over(user.home)
        yield from _with_site(wherry)


def _with_site(wherry: Wherry) -> Iterator[Wherry]:
    wherry.ok("build", "-q", "-t", "site", EXAMPLES / "static-nginx")
    yield wherry
    if left := wherry("ps", "-aq").out.split():
        wherry("rm", "-f", "-v", *left)
    until(lambda: processes_of(wherry) == [])
    assert str(wherry.root) not in Path("/proc/mounts").read_text()


def serve(wherry: Wherry, name: str, *words: str | Path, env: dict[str, str] | None = None) -> int:
    """A site of that name, once it answers; its port on this machine."""
    port = free()
    wherry.ok("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80", *words, "site", env=env)
    until(lambda: answers(port))
    return port


class Application(NamedTuple):
    """`says` is a pattern of its answer, `logs` one of what it logs of each request ("" for nothing)."""

    folder: str
    port: int
    says: re.Pattern[str]
    logs: str
    code: int
    """Of its end, when it is asked to."""


APPLICATIONS = [
    Application("flask", 5000, re.compile("Hello from my custom Docker image!"), '"GET /?load HTTP', 137),
    Application("node-web", 3000, re.compile(r"Hello from Node\.js, up for \w+\n"), "", 0),
    Application("static-nginx", 80, re.compile(re.escape(PAGE.decode())), "", 0),
]


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.folder)
def test_under_load(shared: Wherry, application: Application) -> None:
    """Every request is answered, and every line of the log is there, to who follows too."""
    name = f"load-{application.folder}"
    shared.ok("build", "-q", "-t", name, EXAMPLES / application.folder)
    port = free()
    shared.ok("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:{application.port}", name)
    try:
        until(lambda: answers(port))
        following = shared.start("logs", "-f", name)
        with put_on(port, "/?load", clients=8, requests=50) as load:
            assert load.answers(application.says) == Answers(400, {})
        shared.ok("stop", "-t", "2" if application.code == 137 else "60", name)
        assert state(shared, name).startswith(f"Exited ({application.code}) ")
        followed = b"".join(following.communicate(timeout=60)).decode()
        logged = shared("logs", name)
        if application.logs:
            assert logged.err.count(application.logs) == 400
        assert sorted(followed.splitlines()) == sorted((logged.out + logged.err).splitlines())
    finally:
        shared("rm", "-f", name)


@pytest.mark.parametrize("missing", [(), ("pasta",), ("pasta", "slirp4netns")], ids=["pasta", "slirp", "own"])
def test_long_answers_are_whole(shared: Wherry, tmp_path: Path, missing: tuple[str, ...]) -> None:
    """Through each of the ways into a container's network, to several clients at once."""
    content = os.urandom(8 << 20)
    (tmp_path / "long").write_bytes(content)
    shared.ok("build", "-q", "-t", "site", EXAMPLES / "static-nginx")
    name = f"long-{len(missing)}"
    env = path_without(tmp_path / "path", *missing) if missing else None
    try:
        port = serve(shared, name, "-v", f"{tmp_path}/long:/srv/site/long:ro", env=env)
        with put_on(port, "/long", clients=4, requests=3) as load:
            assert load.answers(content) == Answers(12, {})
    finally:
        shared("rm", "-f", name)


def test_stopped_in_the_midst_of_requests(somebody: Wherry) -> None:
    """It ends as its program wants to, no client waits for ever, and the port is free at once."""
    port = serve(somebody, "site")
    with put_on(port, requests=1_000_000) as load:
        somebody.ok("stop", "-t", "60", "site")
        result = load.answers(PAGE)
    assert state(somebody, "site").startswith("Exited (0) ")
    assert result.right >= 8 > sum(result.wrong.values()) - 1
    assert not answers(port)
    somebody.ok("start", "site")
    until(lambda: answers(port))
    assert ask(port).encode() == PAGE


@pytest.mark.parametrize("victim", ["process", "monitor"])
def test_killed_in_the_midst_of_requests(somebody: Wherry, victim: str) -> None:
    """What is left is told as it is, nothing of it runs on, and it can be started again."""
    port = serve(somebody, "site")
    pid = process_of(somebody, "site")
    with put_on(port, requests=1_000_000) as load:
        os.kill(pid if victim == "process" else monitor_of(somebody, "site"), signal.SIGKILL)
        result = load.answers(PAGE)
    assert sum(result.wrong.values()) == 8
    until(lambda: processes_of(somebody) == [])
    until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not answers(port)
    code = 137 if victim == "process" else 255
    assert state(somebody, "site").startswith(f"Exited ({code}) ")
    somebody.ok("start", "site")
    until(lambda: answers(port))
    with put_on(port, requests=10) as load:
        assert load.answers(PAGE) == Answers(80, {})


def test_a_caller_that_is_killed_at_any_time(somebody: Wherry) -> None:
    """What it has left, if anything, is removed by its name, and the name and the port serve again."""
    port = free()
    words = ("run", "-d", "--rm", "--name", "site", "-p", f"127.0.0.1:{port}:80", "site")
    begin = time.monotonic()
    somebody.ok(*words)
    took = min(time.monotonic() - begin, 2)
    for part in range(1, 7):
        somebody.ok("rm", "-f", "site")
        caller = somebody.start(*words)
        time.sleep(took * part / 7)
        caller.kill()
        caller.communicate()
        somebody.ok("rm", "-f", "site")
        until(lambda: processes_of(somebody) == [])
        assert os.listdir(somebody.root / "containers") == ["names"]
        assert os.listdir(somebody.root / "containers" / "names") == []
        somebody.ok(*words)
        until(lambda: answers(port))


def test_many_at_once(somebody: Wherry) -> None:
    """They start side by side, all answer, and one command stops them all."""
    names = [f"site{number}" for number in range(MANY)]
    starting = [somebody.start("run", "-d", "--name", name, "-p", "127.0.0.1::80", "site") for name in names]
    for process in starting:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert len(somebody.ok("ps", "-q").split()) == MANY
    shown = somebody.ok("ps", "--format", "{{.Ports}}")
    ports = [int(port) for port in re.findall(r"^127\.0\.0\.1:(\d+)->80/tcp$", shown, re.MULTILINE)]
    assert len(set(ports)) == MANY
    until(lambda: all(map(answers, ports)))
    assert {ask(port).encode() for port in ports} == {PAGE}
    assert somebody.ok("stop", "-t", "60", *names).split() == names
    assert len(somebody.ok("ps", "-aq", "--filter", "status=exited", "--filter", "exited=0").split()) == MANY
    assert not any(map(answers, ports))
    until(lambda: processes_of(somebody) == [])
    assert somebody.ok("rm", *names).split() == names
    assert os.listdir(somebody.root / "containers") == ["names"]


def test_many_commands_at_once(somebody: Wherry) -> None:
    """Each gets its own words and its own exit code, and the monitor keeps nothing of them."""
    port = serve(somebody, "site")
    monitor = f"/proc/{monitor_of(somebody, 'site')}/fd"
    open_before = len(os.listdir(monitor))
    running = [
        somebody.start("exec", "site", "sh", "-c", f"echo {number}; echo {number} >&2; exit {number}")
        for number in range(MANY)
    ]
    for number, process in enumerate(running):
        said = f"{number}\n".encode()
        assert process.communicate(timeout=300) == (said, said)
        assert process.returncode == number

    def is_as_before() -> bool:
        """But for two: what answers a command's calls (single-id) is collected by the next one."""
        somebody.ok("exec", "site", "true")
        return len(os.listdir(monitor)) <= open_before + 2

    until(is_as_before)
    assert ask(port).encode() == PAGE


def test_commands_end_with_their_container(somebody: Wherry) -> None:
    serve(somebody, "site")
    running = [somebody.start("exec", "site", "sh", "-c", "echo up; sleep 1000") for _ in range(8)]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
    somebody.ok("stop", "site")
    for process in running:
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == 137
