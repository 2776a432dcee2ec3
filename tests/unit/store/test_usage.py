"""What is counted of files and folders, against `du`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.base import removal
from wherry.store.usage import Ledger, disk_usage, freed_by_removing, share_of

SIZE = 1 << 16


def du(path: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", path], capture_output=True, check=True).stdout.split()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Two folders with a file of their own each, one with two names in `one`, and one with a name in both."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own").write_bytes(bytes(SIZE))
    (tmp_path / "one" / "twice").write_bytes(bytes(SIZE))
    (tmp_path / "one" / "again").hardlink_to(tmp_path / "one" / "twice")
    (tmp_path / "one" / "common").write_bytes(bytes(SIZE))
    (tmp_path / "two" / "common").hardlink_to(tmp_path / "one" / "common")
    (tmp_path / "two" / "link").symlink_to(tmp_path / "one")
    yield tmp_path


def test_each_file_counts_once(folder: Path) -> None:
    assert disk_usage(str(folder)) == du(folder)
    assert disk_usage(str(folder / "one" / "own")) == SIZE
    assert disk_usage(str(folder / "nothing")) == 0


def test_what_was_counted_is_not_counted_again(folder: Path) -> None:
    one, two = str(folder / "one"), str(folder / "two")
    ledger = Ledger()
    assert ledger.count(one) == disk_usage(one)
    assert ledger.count(two, one) == disk_usage(two) - SIZE
    assert ledger.count(str(folder)) == du(folder) - disk_usage(one) - disk_usage(two) + SIZE


def test_what_has_names_elsewhere_is_not_freed(folder: Path) -> None:
    for name in ("one", "two"):
        path = str(folder / name)
        assert freed_by_removing(path) == disk_usage(path) - SIZE
    removal.remove(str(folder / "one"))
    assert freed_by_removing(str(folder / "two")) == disk_usage(str(folder / "two"))


def test_shares_add_up(folder: Path) -> None:
    one, two = str(folder / "one"), str(folder / "two")
    assert share_of(one) + share_of(two) == disk_usage(one) + disk_usage(two) - SIZE


def test_folders_of_any_depth(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_PATH)
    for _ in range(100):
        os.mkdir("x" * 200, dir_fd=here)
        deeper = os.open("x" * 200, os.O_PATH, dir_fd=here)
        os.close(here)
        here = deeper
        file = os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here)
        os.write(file, bytes(SIZE))
        os.close(file)
    os.close(here)
    before = os.listdir("/proc/self/fd")
    assert disk_usage(str(tmp_path)) == du(tmp_path) >= 100 * SIZE
    assert len(os.listdir("/proc/self/fd")) == len(before)
    removal.remove(str(tmp_path / ("x" * 200)))
