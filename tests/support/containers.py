"""A store whose containers a test may leave running."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        box = Wherry(root, someone.home / "docker", {"WHERRY_ISOLATION": mode}, someone.prefix)
        yield box
        left = box("ps", "-aq").out.split()
        if left:
            box("rm", "-f", "-v", *left)


def state(box: Wherry, name: str) -> str:
    """What `ps` says of its status: `Up 5 minutes`."""
    return box.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}").strip()


def monitor_of(box: Wherry, name: str) -> int:
    pid: int = _state(box, name)["monitor"]["pid"]
    return pid


def process_of(box: Wherry, name: str) -> int:
    """The container's first process, as this machine numbers it."""
    pid: int = _state(box, name)["pid"]
    return pid


def processes_of(box: Wherry) -> list[str]:
    """What runs for the store: commands, monitors and their helpers (which their containers end with)."""
    root = f"WHERRY_ROOT={box.root}\0".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", pid, "environ").read_bytes()
            words = Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
        if root in environment + b"\0" and words and int(pid) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _state(box: Wherry, name: str) -> dict[str, Any]:
    folder = box.root / "containers" / os.readlink(box.root / "containers" / "names" / name)
    state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return state
