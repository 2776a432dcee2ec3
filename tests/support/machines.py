"""Machines that share nothing but a Dockerfile: each with a store of its own that has busybox's image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support import busybox, ordinary
from support.cli import Wherry

Machine = Callable[[str], Wherry]
"""A new one, by its name."""


@contextmanager
def machines(mode: str, folder: Path) -> Iterator[tuple[Machine, Path]]:
    """What makes machines whose builds run in the mode, as root or not, and a folder that all reach."""
    if mode == "root":

        def as_root(name: str) -> Wherry:
            wherry = Wherry(folder / name, folder / "docker")
            busybox.put(wherry.root, "busybox")
            return wherry

        yield as_root, folder
        return
    with ordinary.user(subordinate=mode == "userns") as user:

        def as_user(name: str) -> Wherry:
            wherry = Wherry(user.home / name, user.home / "docker", prefix=user.prefix)
            ordinary.put_busybox(user, wherry.root, "busybox")
            return wherry

        yield as_user, user.home
