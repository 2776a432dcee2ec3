"""A store whose containers a test may leave running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import busybox, ordinary
from support.cli import Wherry


@contextmanager
def boxed(wherry: Wherry) -> Iterator[Wherry]:
    """A store with `busybox` in it; nothing runs and nothing is mounted at the end."""
    busybox.put(wherry.root, "busybox")
    yield wherry
    left = wherry("ps", "-aq").out.split()
    if left:
        wherry("rm", "-f", "-v", *left)
    assert str(wherry.root) not in Path("/proc/mounts").read_text()


MODES = ("root", "userns", "single-id")


@contextmanager
def boxed_in(mode: str, wherry: Wherry) -> Iterator[Wherry]:
    """As `boxed`, of root, or of an ordinary user: with subordinate ids (`userns`) or without."""
    if mode == "root":
        with boxed(wherry) as box:
            yield box
        return
    with ordinary.user(subordinate=mode == "userns") as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        box = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        yield box
        left = box("ps", "-aq").out.split()
        if left:
            box("rm", "-f", "-v", *left)


def state(box: Wherry, name: str) -> str:
    """What `ps` says of its status: `Up 5 minutes`."""
    return box.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}").strip()


def monitor_of(box: Wherry, name: str) -> int:
    """The process ID of a running container's monitor."""
    folder = Path(box.ok("inspect", "--format", "{{.LogPath}}", name).strip()).parent
    number: int = json.loads((folder / "state.json").read_text())["monitor"]["pid"]
    return number
