"""Somebody who builds what an attacker wrote: with an image in his store, and a treasure outside of it."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support import busybox, folders, ordinary
from support.cli import Result, Wherry, write_files
from wherry.testing import trees


class Victim:
    """`wherry` has the image `base` in its store; `treasure` is a folder of his, with a secret in it."""

    def __init__(self, wherry: Wherry, home: Path, owner: int) -> None:
        self.wherry = wherry
        self.home = home
        self.secret = secrets.token_hex(16)
        self.treasure = home / "treasure"
        write_files(self.treasure, {"secret": self.secret, "empty": "", "folder/": ""})
        for path in (self.treasure, *self.treasure.rglob("*")):
            os.chown(path, owner, owner)
        self._before = trees.facts(str(self.treasure))

    def build(self, dockerfile: str, *flags: str, **files: str) -> Result:
        texts: Mapping[str, str] = {"Dockerfile": dockerfile, **files}
        folder = write_files(self.home / "context", texts)
        return self.wherry("build", "--progress", "plain", *flags, folder)

    def keeps(self, *printed: Result) -> None:
        """Nothing of the treasure was changed, and its secret is in nothing that the attacker gets."""
        assert trees.facts(str(self.treasure)) == self._before
        for result in printed:
            assert "wherry has a bug" not in result.err
            assert self.secret not in result.out + result.err
        found = subprocess.run(["grep", "-rlF", self.secret, str(self.wherry.root)], capture_output=True)
        assert found.stdout == b""


@contextmanager
def victim(kind: str) -> Iterator[Victim]:
    """`root`, or a `user` without rights who has subordinate ids."""
    if kind == "root":
        with tempfile.TemporaryDirectory(prefix="wherry-root-", dir=folders.fast()) as home:
            os.chmod(home, 0o755)  # pytest's own folders are closed to other users
            wherry = Wherry(Path(home, "wherry"), Path(home, "docker"))
            busybox.put(wherry.root, "base")
            yield Victim(wherry, Path(home), 0)
        return
    with ordinary.user() as someone:
        wherry = Wherry(someone.home / "wherry", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, wherry.root, "base")
        yield Victim(wherry, someone.home, ordinary.UID)
