"""Programs are found where the standard library finds them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wherry.base.which import which


@pytest.fixture
def path(tmp_path: Path) -> str:
    for folder, name, mode in (
        ("a", "plain", 0o644),
        ("b", "plain", 0o755),
        ("b", "both", 0o755),
        ("c", "both", 0o755),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch(mode)
    (tmp_path / "a" / "both").mkdir()
    return os.pathsep.join(str(tmp_path / name) for name in ("missing", "a", "b", "c"))


@pytest.mark.parametrize("name", ["plain", "both", "nothing", "b", "/bin/sh", "/etc/passwd", "/bin"])
def test_it_finds_what_shutil_finds(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert which(name, path) == shutil.which(name, path=path)
    monkeypatch.setenv("PATH", path)
    assert which(name) == shutil.which(name)


def test_an_empty_path_has_no_programs(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path)
    assert which("plain", "") is None
