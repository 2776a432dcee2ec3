"""However a build is ended, nothing of it goes on: no process, no mount, no temporary folder."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import busybox, ordinary, programs
from support.cli import Wherry, write_files
from support.running import processes, unique, wait_until

pytestmark = pytest.mark.needs("root", "busybox")

Context = Callable[[Mapping[str, str | bytes]], Path]


def stubborn(mark: str) -> dict[str, str | bytes]:
    """A step that does not want to end: it hears no signal, and has a daemon in a session of its own."""
    script = (
        "trap '' TERM INT HUP QUIT; (setsid sh -c 'trap \"\" TERM; sleep {0}; sleep {0}' < /dev/null &);"
        " sleep {0} & sleep {0}"
    )
    return {"Dockerfile": f"FROM base\nRUN --mount=type=tmpfs,target=/t {script.format(mark)}\n"}


class Place:
    """A store with the image, of root or of an ordinary user, and a folder for contexts."""

    def __init__(self, wherry: Wherry, folder: Path) -> None:
        self.wherry = wherry
        self.folder = folder

    def start(self, mark: str, *words: str) -> subprocess.Popen[bytes]:
        context = write_files(self.folder / "context", stubborn(mark))
        process = self.wherry.start("build", *words, context)
        wait_until(lambda: len(processes(mark)) >= 4, 30)
        return process

    def nothing_is_left(self, mark: str) -> None:
        wait_until(lambda: processes(mark) == [])
        assert list((self.wherry.root / "tmp").iterdir()) == []
        for path in Path("/proc").glob("[0-9]*/mountinfo"):
            try:
                assert str(self.wherry.root) not in path.read_text(), path
            except OSError:
                continue  # it has ended


@pytest.fixture(params=["root", "userns"])
def place(request: pytest.FixtureRequest, wherry: Wherry, tmp_path: Path) -> Iterator[Place]:
    if request.param == "root":
        busybox.put(wherry.root, "base")
        yield Place(wherry, tmp_path)
        return
    programs.require("newuidmap", "setpriv")
    with ordinary.user() as someone:
        ordinary.put_busybox(someone, someone.home / "store", "base")
        yield Place(
            Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix), someone.home
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_build_with_all_of_its_processes(place: Place, number: signal.Signals) -> None:
    mark = unique()
    process = place.start(mark)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.split()[-1]) == (128 + number, b"interrupted")
    place.nothing_is_left(mark)


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_other_runtimes_end_too(place: Place, program: str) -> None:
    programs.require(program)
    mark = unique()
    process = place.start(mark, "--runtime", program)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    place.nothing_is_left(mark)


def test_a_closed_terminal_ends_a_build(place: Place) -> None:
    mark = unique()
    context = write_files(place.folder / "context", stubborn(mark))
    pid, terminal = pty.fork()
    if not pid:
        os.environ.clear()
        os.environ.update(place.wherry.environment)
        os.execvp(place.wherry.command[0], [*place.wherry.command, "build", str(context)])
    wait_until(lambda: len(processes(mark)) >= 4, 30)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    place.nothing_is_left(mark)


def test_ctrl_c_on_a_terminal(place: Place) -> None:
    mark = unique()
    context = write_files(place.folder / "context", stubborn(mark))
    pid, terminal = pty.fork()
    if not pid:
        os.environ.clear()
        os.environ.update(place.wherry.environment)
        os.execvp(place.wherry.command[0], [*place.wherry.command, "build", str(context)])
    wait_until(lambda: len(processes(mark)) >= 4, 30)
    os.write(terminal, b"\x03")
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    place.nothing_is_left(mark)


def test_a_killed_build_leaves_no_process_and_the_next_one_sweeps(place: Place) -> None:
    mark = unique()
    process = place.start(mark)
    process.kill()
    process.communicate()
    wait_until(lambda: processes(mark) == [])
    (place.folder / "context/Dockerfile").write_text("FROM base\nRUN true\n")
    place.wherry.ok("build", place.folder / "context")
    place.nothing_is_left(mark)


def test_what_nohup_protects_goes_on(place: Place) -> None:
    mark = unique()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = place.start(mark)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.5)
    process.terminate()
    process.communicate(timeout=30)
    place.nothing_is_left(mark)
