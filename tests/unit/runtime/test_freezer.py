"""The freezer of cgroups, of both versions where this machine has both."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support.ports import until
from wherry.base.errors import WherryError
from wherry.runtime.cgroups.freezer import Freezer, freezer
from wherry.runtime.cgroups.group import new_cgroup
from wherry.runtime.cgroups.tree import here

pytestmark = pytest.mark.needs("root")


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def frozen(request: pytest.FixtureRequest) -> Iterator[Freezer]:
    for hierarchy in here():
        fits = hierarchy.version == 2 if request.param == 2 else "freezer" in hierarchy.controllers
        if fits and os.access(hierarchy.own, os.W_OK):
            with new_cgroup(hierarchy.own) as folder:
                yield Freezer(folder)
            return
    pytest.skip("no such freezer here")


def restless(path: Path) -> subprocess.Popen[bytes]:
    """A shell that starts one process after another, each of which writes to the file."""
    path.touch()
    script = f"while (echo x >> {path}); do :; done"  # no longer than there is the folder
    return subprocess.Popen(["sh", "-c", script], start_new_session=True)


def has_grown(path: Path, held: int) -> bool:
    return path.stat().st_size > held


def family(process: subprocess.Popen[bytes]) -> list[int]:
    """It and its children; they are asked for again while they change."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


def test_what_starts_others_is_frozen_with_them(frozen: Freezer, tmp_path: Path) -> None:
    process = restless(tmp_path / "file")
    try:
        until(partial(has_grown, tmp_path / "file", 10))
        for _ in range(5):
            frozen.freeze(lambda: family(process))
            held = (tmp_path / "file").stat().st_size
            assert (tmp_path / "file").stat().st_size == held
            frozen.thaw()
            until(partial(has_grown, tmp_path / "file", held))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        frozen.thaw()
        process.wait()


def test_what_has_ended_is_passed_over(frozen: Freezer) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    frozen.freeze(lambda: [process.pid, 2**22 - 1])
    frozen.thaw()
    process.wait()


def test_who_always_has_another_one_is_not_chased_for_ever(frozen: Freezer) -> None:
    missing = itertools.count(2**22 + 1)
    process = subprocess.Popen(["sleep", "1000"])
    try:
        with pytest.raises(WherryError, match="start others faster"):
            frozen.freeze(lambda: [process.pid, next(missing)])
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM  # it was let go
    finally:
        process.kill()


def test_a_freezer_that_is_gone_is_thawed_already() -> None:
    Freezer("/sys/fs/cgroup/nothing-of-that-name").thaw()


def test_a_freezer_is_gone_with_its_processes() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    with freezer(process.pid) as made:
        made.freeze(lambda: [process.pid])
        process.kill()
        made.thaw()
        process.wait()
    assert not os.path.exists(made.folder)
