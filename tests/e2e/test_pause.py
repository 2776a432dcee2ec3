"""`wherry pause` and `unpause`: all processes of a container stop where they are, and go on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ordinary
from support.cli import Wherry
from support.containers import boxed, monitor_of, state
from support.ports import until

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ("--network", "none")
WRITE = "trap 'exit 5' TERM; while (echo x >> /data/{0}); do :; done"
"""Ends with its folder, too: where nobody is left to end it, as when pytest was killed."""


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def writing(box: Wherry, folder: Path, *words: str) -> None:
    """The container `web`, in which two shells start processes that write to files of the folder."""
    mounted = ("-v", f"{folder}:/data", *QUIET, *words)
    box.ok("run", "-d", "--name", "web", *mounted, "busybox", "sh", "-c", WRITE.format("one"))
    box.ok("exec", "-d", "web", "sh", "-c", WRITE.format("two"))
    assert_goes_on(folder)


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def assert_goes_on(folder: Path) -> None:
    before = sizes(folder)

    def has_grown() -> bool:
        now = sizes(folder)
        return all(now.get(name, 0) > before.get(name, 0) for name in ("one", "two"))

    until(has_grown)


def test_all_processes_stop_and_go_on(box: Wherry, folder: Path) -> None:
    writing(box, folder)
    for _ in range(2):
        assert box.ok("pause", "web") == "web\n"
        held = sizes(folder)
        assert state(box, "web").endswith(" (Paused)")
        assert (
            box.ok("ps", "--filter", "status=paused", "--format", "{{.Names}} {{.State}}") == "web paused\n"
        )
        shown = box.ok("inspect", "-f", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}", "web")
        assert shown == "paused true true\n"
        assert sizes(folder) == held
        assert box.ok("unpause", "web") == "web\n"
        assert "Paused" not in state(box, "web")
        assert_goes_on(folder)


def test_what_is_refused(box: Wherry, folder: Path) -> None:
    writing(box, folder)
    refused = box("unpause", "web")
    assert (refused.code, refused.err) == (1, "error: container web is not paused\n")
    box.ok("pause", "web")
    for words in (
        ("pause", "web"),
        ("attach", "web"),
        ("rm", "web"),
        ("start", "web"),
        ("exec", "web", "true"),
    ):
        refused = box(*words)
        assert refused.code != 0
        assert refused.err.startswith("error: container web is paused\n"), words
    box.ok("unpause", "web")
    assert box("exec", "web", "true").code == 0
    box.ok("stop", "-t", "0", "web")
    assert "container web is not running" in box("pause", "web").err
    assert "no such container: nobody" in box("unpause", "nobody").err


@pytest.mark.parametrize(
    ("words", "code"),
    [(("stop", "-t", "60"), 5), (("stop", "-t", "0"), None), (("kill",), 137), (("kill", "-s", "TERM"), 5)],
    ids=["stop", "stop-at-once", "kill", "kill-term"],
)
def test_a_paused_container_is_ended(
    box: Wherry, folder: Path, words: tuple[str, ...], code: int | None
) -> None:
    writing(box, folder)
    box.ok("pause", "web")
    box.ok(*words, "web")
    ended = int(box.ok("wait", "web"))
    assert ended in ((code,) if code else (5, 137))
    assert state(box, "web").startswith(f"Exited ({ended})")


def test_a_paused_container_is_removed_and_restarted(box: Wherry, folder: Path) -> None:
    writing(box, folder)
    box.ok("pause", "web")
    box.ok("restart", "-t", "0", "web")
    assert state(box, "web").startswith("Up ")
    assert "Paused" not in state(box, "web")
    box.ok("pause", "web")
    freezer = json.loads(next(box.root.glob("containers/*/state.json")).read_text())["freezer"]
    assert os.path.exists(freezer)
    box.ok("rm", "-f", "web")
    assert box.ok("ps", "-aq") == ""
    assert not os.path.exists(freezer)


def test_a_killed_monitor_leaves_nothing_frozen(box: Wherry, folder: Path) -> None:
    writing(box, folder)
    first = int(box.ok("inspect", "-f", "{{.State.Pid}}", "web"))
    box.ok("pause", "web")
    os.kill(monitor_of(box, "web"), signal.SIGKILL)
    until(lambda: state(box, "web").startswith("Exited (255)"))
    until(lambda: not os.path.exists(f"/proc/{first}"))
    box.ok("rm", "web")


def test_a_paused_container_is_not_checked(box: Wherry, folder: Path) -> None:
    check = ("--health-cmd", "echo x >> /data/three", "--health-interval", "10ms", "--health-timeout", "1s")
    writing(box, folder, *check, "--health-retries", "1")
    until(lambda: state(box, "web").endswith("(healthy)"))
    box.ok("pause", "web")
    before = sizes(folder)
    for _ in range(3):  # each takes as long as several intervals
        assert box.ok("ps", "-q")
    assert sizes(folder) == before
    box.ok("unpause", "web")
    until(lambda: sizes(folder)["three"] > before["three"])
    until(lambda: state(box, "web").endswith("(healthy)"))


def test_events_tell_of_it(box: Wherry, folder: Path) -> None:
    writing(box, folder)
    box.ok("pause", "web")
    box.ok("kill", "web")
    words = (
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "container=web",
        "--format",
        "{{.Action}}",
    )
    found = box.ok(*words).splitlines()
    assert found[found.index("pause") :] == ["pause", "kill", "unpause", "exec_die", "die"]


@pytest.mark.needs("newuidmap", "setpriv")
def test_without_a_freezer_it_is_refused_and_runs_on() -> None:
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        user = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        user.ok("run", "-d", "--name", "web", *QUIET, "busybox", "sleep", "1000")
        try:
            refused = user("pause", "web")
            assert refused.code == 1
            assert refused.err.startswith(
                "error: a container cannot be paused here: wherry may use no freezer"
            )
            assert state(user, "web").startswith("Up ")
            assert user("exec", "web", "true").code == 0
        finally:
            user.ok("rm", "-f", "web")
