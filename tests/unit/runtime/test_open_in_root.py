"""Names that lead up and down again, while others rename files all the time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.base import paths
from wherry.runtime.init import linux

RENAMES = "import os\nwhile True: os.rename('a', 'b'); os.rename('b', 'a')"
TRIES = 3000


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A folder; beside it another process renames a file, which is enough for the kernel's EAGAIN."""
    (tmp_path / "root/one/two").mkdir(parents=True)
    (tmp_path / "root/there").touch()
    (tmp_path / "a").touch()
    held = os.open(tmp_path / "root", os.O_PATH)
    with subprocess.Popen([sys.executable, "-c", RENAMES], cwd=tmp_path) as renaming:
        while (tmp_path / "a").exists() and renaming.poll() is None:
            pass  # until it has begun
        yield held
        renaming.kill()
    os.close(held)


PATH = "one/two/" + "../two/" * 40 + "../../there"


def test_of_the_runtime(root: int) -> None:
    for _ in range(TRIES):
        os.close(linux.open_in_root(root, PATH))


def test_of_wherry(root: int) -> None:
    opener = paths._openat2()
    for _ in range(TRIES):
        os.close(opener(root, PATH, os.O_PATH, 0, True))
