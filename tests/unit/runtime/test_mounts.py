from __future__ import annotations

import os
from pathlib import Path

from wherry.runtime.mounts import Created, remove_created


def make(root: Path, path: str, folder: bool) -> Created:
    """What the runtime does and reports when a mount has no place."""
    parent = (root / path).parent
    before = parent.stat().st_mtime_ns
    if folder:
        (root / path).mkdir()
    else:
        (root / path).touch()
    return Created("/" + path, folder, before, parent.stat().st_mtime_ns)


def tree(root: Path) -> Path:
    (root / "etc").mkdir()
    os.utime(root / "etc", ns=(1, 1))
    os.utime(root, ns=(2, 2))
    return root


def test_nothing_is_left_not_even_a_time(tmp_path: Path) -> None:
    root = tree(tmp_path)
    created = [
        make(root, "etc/hosts", False),
        make(root, "cache", True),
        make(root, "cache/pip", True),
        make(root, "etc/name", False),
    ]
    remove_created(str(root), created)
    assert [path.name for path in root.rglob("*")] == ["etc"]
    assert (root / "etc").stat().st_mtime_ns == 1
    assert root.stat().st_mtime_ns == 2


def test_what_was_given_content_stays(tmp_path: Path) -> None:
    root = tree(tmp_path)
    created = [make(root, "etc/hosts", False), make(root, "cache", True), make(root, "cache/pip", True)]
    (root / "etc/hosts").write_text("mine")
    (root / "cache/other").touch()
    remove_created(str(root), created)
    assert (root / "etc/hosts").read_text() == "mine"
    assert [path.name for path in (root / "cache").iterdir()] == ["other"]


def test_a_parent_that_the_command_changed_keeps_its_time(tmp_path: Path) -> None:
    root = tree(tmp_path)
    created = [make(root, "etc/hosts", False)]
    os.utime(root / "etc", ns=(7, 7))
    remove_created(str(root), created)
    assert not (root / "etc/hosts").exists()
    assert (root / "etc").stat().st_mtime_ns != 1


def test_a_link_put_in_the_way_is_not_followed_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.mkdir()
    (outside / "victim").touch()
    created = [Created("/etc/d/victim", False, 0, 0)]
    (root / "etc/d").symlink_to(outside)
    remove_created(str(root), created)
    assert (outside / "victim").exists()
