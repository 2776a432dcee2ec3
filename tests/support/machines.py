"""Machines that share nothing but a Dockerfile: each with a store of its own that has busybox's image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import busybox, ordinary
from support.cli import Wherry
from wherry.base.events import Event, Note
from wherry.build.build import build
from wherry.build.options import Options
from wherry.oci.digest import Digest
from wherry.store.store import Store

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


class InProcess:
    """A machine whose builds of `folder`/project run in this process, so there is no RUN."""

    def __init__(self, folder: Path, name: str) -> None:
        self.root = folder / name
        self.project = folder / "project"
        self.warnings: list[str] = []

    def build(self, *, to: Path | str = "", by: Sequence[Path] = (), exact: bool = False) -> Digest:
        """The image; `to` is a folder, or what `--cache-to` says, and `by` are folders with caches."""
        target = f"type=local,dest={to},mode=max" if isinstance(to, Path) else to
        options = Options(
            context=str(self.project),
            cache_to=(target,) if target else (),
            cache_from=tuple(f"type=local,src={folder}" for folder in by),
            exact_cache=exact,
        )
        with Store.open(str(self.root)) as store:
            return build(store, options, self._hear).image

    def _hear(self, event: Event) -> None:
        if isinstance(event, Note) and event.level == "warning":
            self.warnings.append(event.text)
