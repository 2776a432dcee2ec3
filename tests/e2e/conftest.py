"""Fixtures for tests of the runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running import make_rootfs
from wherry.runtime.native import Native


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    with Native() as runtime:
        yield runtime


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A root filesystem with all of busybox."""
    return make_rootfs(tmp_path / "rootfs")
