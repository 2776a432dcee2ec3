"""Trees that are hard to delete, and what must survive it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import folders
from wherry.base import removal
from wherry.base.paths import Root
from wherry.store.store import remove_tree

DEPTH = 20_000


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that any user may reach. What is left in it is deleted by a program that can."""
    folder = Path(tempfile.mkdtemp(dir=folders.fast()))
    folder.chmod(0o777)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def make_deep(top: Path, depth: int = DEPTH) -> None:
    """Folders in each other, with a file in every hundredth, made as by a process that enters each."""
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(depth):
        os.mkdir("d", dir_fd=folder)
        if number % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)


def test_a_tree_deeper_than_any_path(scratch: Path) -> None:
    (scratch / "tree").mkdir()
    make_deep(scratch / "tree")
    (scratch / "tree" / ".removing-0").mkdir()
    (scratch / "tree" / ".removing-0" / "x").touch()
    removal.remove(str(scratch / "tree"))
    assert os.listdir(scratch) == []


def test_beneath_a_root_and_in_the_store(scratch: Path) -> None:
    for name in ("one", "two"):
        (scratch / name).mkdir()
        make_deep(scratch / name, 3_000)
    with Root(str(scratch)) as root:
        root.rmtree("one")
    remove_tree(str(scratch / "two"))
    assert os.listdir(scratch) == []


def test_links_are_deleted_and_not_followed(scratch: Path) -> None:
    outside = scratch / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").touch()
    tree = scratch / "tree"
    tree.mkdir()
    make_deep(tree, 2_000)
    (tree / "link").symlink_to(outside)
    (tree / "d" / "link").symlink_to(outside)
    (tree / "d" / "d" / "link").symlink_to(outside / "kept")
    removal.remove(str(tree))
    (scratch / "link").symlink_to(outside)
    removal.remove(str(scratch / "link"))
    assert [path.name for path in scratch.iterdir()] == ["outside"]
    assert os.listdir(outside) == ["kept"]
    assert outside.stat().st_mode & 0o777 == 0o750


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        removal.remove(str(tmp_path / "nothing"))
    remove_tree(str(tmp_path / "nothing"))


@pytest.mark.needs("root")
def test_folders_that_their_owner_closed(scratch: Path) -> None:
    """As a user without rights: root asks no mode."""
    tree = scratch / "tree"
    for closed in ("a/b/c", "d/e", "f"):
        (tree / closed).mkdir(parents=True)
        (tree / closed / "file").touch()
    (tree / "f" / "file").unlink()
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, 1234, 1234)
    for closed in ("a/b/c", "a/b", "d/e", "d", "f"):
        (tree / closed).chmod(0)
    tree.chmod(0o500)
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(1234, 1234, 1234)
        os.setresuid(1234, 1234, 1234)
        try:
            removal.remove(str(tree))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert not tree.exists()


def test_the_standard_library_gives_up_on_such_a_tree(scratch: Path) -> None:
    """Else this module is not needed any more."""
    (scratch / "tree").mkdir()
    make_deep(scratch / "tree")
    with pytest.raises((RecursionError, OSError)):
        shutil.rmtree(scratch / "tree")
