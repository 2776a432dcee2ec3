"""Fixtures for builds on a store with bases, and for the runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry
from support.running import make_rootfs
from wherry.runtime.native import Native

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def built(shared: Wherry, context: Context) -> Callable[..., str]:
    """Build a Dockerfile, `a_txt="x"` being a file a.txt; what was printed, with --progress plain."""

    def build(dockerfile: str, *flags: str, **files: str) -> str:
        named = {name.replace("_", "."): text for name, text in files.items()}
        folder = context({"Dockerfile": dockerfile, **named})
        result = shared("build", "--progress", "plain", *flags, folder)
        assert result.code == 0, result.err
        return result.err

    return build


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    with Native() as runtime:
        yield runtime


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A root filesystem with all of busybox."""
    return make_rootfs(tmp_path / "rootfs")
