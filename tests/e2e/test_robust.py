"""The store in a machine's bad hours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.cli import Wherry


@pytest.mark.needs("root")
def test_a_disk_without_one_free_block_is_told_as_such(wherry: Wherry, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        environment = {"WHERRY_ROOT": str(small / "store")}
        wherry.ok("images", env=environment)
        subprocess.run(["dd", "if=/dev/zero", f"of={small}/fill", "bs=4k"], capture_output=True, check=False)
        result = wherry("images", env=environment)
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "hint: " in result.err
        (small / "fill").unlink()
        wherry.ok("images", env=environment)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
