"""Containers of an ordinary user with subordinate ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry
from support.ports import answers, ask, free, until

pytestmark = pytest.mark.needs("root", "busybox", "newuidmap", "setpriv")


@pytest.fixture
def user() -> Iterator[Wherry]:
    """The command line as an ordinary user's, on his own store with `busybox` in it."""
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        yield Wherry(root, someone.home / "docker", prefix=someone.prefix)


def test_life_of_a_web_server(user: Wherry) -> None:
    port = free()
    script = f"id -u; {busybox.SERVE}"
    user.ok("run", "-d", "--name", "web", "-p", f"{port}:8080", "busybox", "sh", "-c", script)
    until(lambda: answers(port))
    assert ask(port) == busybox.GREETING
    assert user.ok("logs", "web") == "0\n"
    assert "Up " in user.ok("ps")
    assert user.ok("stop", "-t", "0", "web") == "web\n"
    assert not answers(port)
    assert user.ok("rm", "web") == "web\n"


def test_files_of_other_users_are_removed_too(user: Wherry) -> None:
    """A folder that only the container's user 1000 may enter: outside, its owner is a subordinate id."""
    script = "mkdir /tmp/mine; echo x > /tmp/mine/file; chmod 700 /tmp/mine; ls -ldn /tmp/mine"
    shown = user.ok("run", "--name", "kept", "--network", "none", "-u", "web", "busybox", "sh", "-c", script)
    assert shown.split()[:4:2] == ["drwx------", "1000"]
    owners = {os.stat(path).st_uid for path in (user.root / "containers").rglob("mine")}
    assert owners == {200999}
    assert user.ok("rm", "kept") == "kept\n"
    assert os.listdir(user.root / "containers") == ["names"]


def test_volume_of_another_user(user: Wherry) -> None:
    run = ("run", "--rm", "--network", "none", "-u", "web", "-v", "data:/data", "busybox")
    assert user.ok(*run, "sh", "-c", "cat /data/seed; echo more > /data/mine") == "from the image\n"
    assert user.ok(*run, "ls", "/data") == "mine\nseed\n"


def test_no_rights_on_the_host(user: Wherry, tmp_path: Path) -> None:
    """Root in the container is the user who started it, and no more, on a folder of the host's."""
    (tmp_path / "roots").mkdir(mode=0o755)
    run = ("run", "--rm", "--network", "none", "-v", f"{tmp_path}/roots:/mnt", "busybox")
    assert "Permission denied" in user(*run, "touch", "/mnt/file").err
    assert os.listdir(tmp_path / "roots") == []
