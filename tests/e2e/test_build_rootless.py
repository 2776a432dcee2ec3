"""Builds of an ordinary user: with subordinate ids all of them, without any those that only copy."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "busybox", "newuidmap", "setpriv")

FILES = {
    "Dockerfile": "FROM base\nCOPY --chown=5:6 a.txt /a\nRUN mkdir /own && cp /a /own/f && chown -R 7:8 /own"
    " && chmod 700 /own && chmod 600 /own/f\nWORKDIR /w\nUSER 1000\nRUN id -u > /tmp/id\n",
    "a.txt": "text",
}


def test_the_same_image_as_roots_and_all_that_is_done_with_it(wherry: Wherry, tmp_path: Path) -> None:
    busybox.put(str(wherry.root), "base")
    as_root = wherry.ok("build", "-q", write_files(tmp_path / "context", FILES))
    with ordinary.user() as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, user.root, "base")
        folder = write_files(someone.home / "context", FILES)
        assert user.ok("build", "-q", "-t", "app", folder) == as_root
        user.ok("build", "-o", f"type=tar,dest={someone.home / 'app.tar'}", folder)
        with tarfile.open(someone.home / "app.tar") as tar:
            file = tar.getmember("own/f")
        assert (file.uid, file.gid, file.mode) == (7, 8, 0o600)
        user.ok("save", "-o", someone.home / "saved.tar", "app")
        assert user.ok("run", "--rm", "--network", "none", "-u", "7", "app", "cat", "/own/f") == "text"
        user.ok("rmi", "app")
        user.ok("prune", "-a", "-f")
        assert not list((user.root / "layers").iterdir())


def test_copying_needs_no_subordinate_ids_and_a_run_says_what_it_needs() -> None:
    with ordinary.user(subordinate=False) as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        lines = "FROM scratch\nCOPY --chown=5:6 a.txt /d/a\nWORKDIR /w\n"
        folder = write_files(someone.home / "context", {"Dockerfile": lines, "a.txt": "text"})
        user.ok("build", "-t", "app", folder)
        with Store.open(str(user.root)) as store:
            assert len(store.images.find("app").config.diff_ids) == 2
        (folder / "Dockerfile").write_text(lines + 'RUN ["/d/a"]\n')
        refused = user("build", "--isolation=userns", folder)
        assert refused.code == 1
        assert "usermod --add-subuids" in refused.err
        assert "Traceback" not in refused.err
