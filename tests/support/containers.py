"""A store whose containers a test may leave running."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support import busybox, ordinary
from support.cli import Wherry


@contextmanager
def boxed(wherry: Wherry) -> Iterator[Wherry]:
    """A store with `busybox` in it; nothing runs and nothing is mounted at the end."""
    busybox.put(wherry.root, "busybox")
    try:
        yield wherry
    finally:
        remove_all(wherry)
    assert str(wherry.root) not in Path("/proc/mounts").read_text()


def remove_all(box: Wherry) -> None:
    """Remove what runs and what has ended, with its volumes."""
    if left := box.ok("ps", "-aq").split():
        box.ok("rm", "-f", "-v", *left)


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
        try:
            yield box
        finally:
            remove_all(box)


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


def is_connected(pid: int) -> bool:
    """Whether a command talks to a monitor."""
    return any(file.startswith("socket:") for file in opened(pid))


def opened(pid: int) -> list[str]:
    """The files that a process has open."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # it has closed it meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


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
