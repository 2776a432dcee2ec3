"""The monitor that comes up while its container is created: where none is, it goes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support import busybox
from support.cli import Wherry
from support.ports import until
from support.running import processes, unique

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.mark.parametrize("words", [("--pull=never", "no-such-image"), ("--volumes-from=nobody", "busybox")])
def test_nothing_stays_where_no_container_is_created(wherry: Wherry, words: tuple[str, ...]) -> None:
    """A monitor has the arguments of its starter."""
    busybox.put(wherry.root, "busybox")
    mark = unique()
    assert wherry("run", *words, "sleep", mark).code == 125
    until(lambda: not processes(mark))
    assert wherry.ok("ps", "-aq") == ""


def test_nothing_stays_of_a_starter_that_was_killed(wherry: Wherry) -> None:
    variable = os.fsencode(f"WHERRY_ROOT={wherry.root}")

    def alive() -> list[str]:
        """The monitor's arguments say nothing of its starter's; its environment is the same."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if variable in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(name)
        return found

    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never says anything
        place = f"127.0.0.1:{silent.getsockname()[1]}/never/answers"
        starter = wherry.start("run", "--pull=always", place, "true")
        until(lambda: len(alive()) > 1)
        starter.kill()
        starter.communicate()
        until(lambda: not alive())


def test_a_mode_that_cannot_be_is_told_of_the_container(wherry: Wherry) -> None:
    busybox.put(wherry.root, "busybox")
    refused = wherry("run", "--name", "one", "--isolation=chroot", "busybox", "true")
    assert refused.code == 125
    assert "containers cannot be run in the mode chroot" in refused.err
    assert wherry.ok("ps", "-aq") == ""


def test_complaints_are_in_the_container_s_folder(wherry: Wherry) -> None:
    busybox.put(wherry.root, "busybox")
    name = wherry.ok("run", "-d", "--network=none", "busybox", "true").strip()
    assert (Path(wherry.root) / "containers" / name / "monitor.log").read_bytes() == b""
