"""The store in a machine's bad hours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system in memory of the size that the test names."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={folder}/fill", "bs=4k"], capture_output=True, check=False)
    assert os.statvfs(folder).f_bavail == 0


@pytest.mark.needs("root")
@pytest.mark.parametrize("small", ["1m"], indirect=True)
def test_a_disk_without_one_free_block_is_told_as_such(wherry: Wherry, small: Path) -> None:
    environment = {"WHERRY_ROOT": str(small / "store")}
    wherry.ok("images", env=environment)
    fill(small)
    result = wherry("images", env=environment)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert "hint: " in result.err
    (small / "fill").unlink()
    wherry.ok("images", env=environment)


@pytest.mark.needs("root")
@pytest.mark.parametrize("small", ["8m"], indirect=True)
def test_prune_frees_a_disk_without_one_free_block(wherry: Wherry, small: Path, context: Context) -> None:
    environment = {"WHERRY_ROOT": str(small / "store")}
    folder = context({"Dockerfile": "FROM scratch\nCOPY big /\n", "big": os.urandom(1 << 20)})
    wherry.ok("build", folder, env=environment)
    fill(small)
    assert wherry("images", env=environment).code == 1
    assert "Deleted Images:" in wherry.ok("prune", "-f", env=environment)
    assert wherry.ok("images", "-aq", env=environment) == ""
    assert (small / "store" / "reserve").exists() is (os.statvfs(small).f_bavail > 0) is True
    (small / "fill").unlink()
    wherry.ok("build", folder, env=environment)


@pytest.mark.needs("root")
@pytest.mark.parametrize("small", ["8m"], indirect=True)
def test_a_prune_that_frees_nothing_leaves_no_half_of_its_room(wherry: Wherry, small: Path) -> None:
    environment = {"WHERRY_ROOT": str(small / "store")}
    wherry.ok("images", env=environment)
    fill(small)
    for _ in range(2):
        wherry.ok("prune", "-f", env=environment)
        assert (small / "store" / "reserve").stat().st_blocks * 512 >= 2 << 20
