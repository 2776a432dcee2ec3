"""Every way in which `wherry run` runs a container: each mode, and in it each runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from support import busybox, folders, ordinary, programs
from support.cli import Wherry
from support.containers import remove_all

PLACES = ["root-native", "root-crun", "root-runc", "userns-native", "userns-crun", "userns-runc", "single-id"]


class Place(NamedTuple):
    """`wherry` has the image `busybox`; `home` is a folder of its user's, whose number is `owner`."""

    wherry: Wherry
    home: Path
    owner: int
    mode: str
    program: str

    @property
    def is_root(self) -> bool:
        return self.mode == "root"

    @property
    def is_native(self) -> bool:
        return self.program == "native"

    def sh(self, script: str, *words: str | Path) -> str:
        """What a shell in a new container prints, and must succeed with."""
        return self.wherry.ok("run", "--rm", "--network", "none", *words, "busybox", "sh", "-c", script)


@contextmanager
def place(name: str) -> Iterator[Place]:
    """One of `PLACES`; skips where a program is missing."""
    mode, program = (name, "native") if name == "single-id" else name.split("-")
    programs.require("root", *(() if program == "native" else (program,)))
    with ExitStack() as stack:
        prefix: list[str] = []
        if mode == "root":
            home = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="wherry-", dir=folders.fast()))
            )
            home.chmod(0o755)
            busybox.put(home / "store", "busybox")
        else:
            programs.require("newuidmap", "setpriv")
            someone = stack.enter_context(ordinary.user(subordinate=mode == "userns"))
            prefix, home = someone.prefix, someone.home
            ordinary.put_busybox(someone, home / "store", "busybox")
        chosen = {"WHERRY_ISOLATION": mode, "WHERRY_RUNTIME": program}
        wherry = Wherry(home / "store", home / "docker", chosen, prefix)
        try:
            yield Place(wherry, home, ordinary.UID if prefix else 0, mode, program)
        finally:
            remove_all(wherry)
