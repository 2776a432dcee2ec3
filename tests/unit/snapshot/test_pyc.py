"""Bytecode made by real Pythons stays valid when its source's time is limited, and never becomes so."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot import pyc
from wherry.snapshot.changes import commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

CLAMP = 315532800


@pytest.mark.parametrize(
    ("bytecode", "source"),
    [
        ("lib/__pycache__/a.cpython-311.pyc", "lib/a.py"),
        ("lib/__pycache__/a.cpython-311.opt-1.pyc", "lib/a.py"),
        ("__pycache__/a.pypy39.pyc", "a.py"),
        ("lib/a.pyc", "lib/a.py"),
        ("a.pyc", "a.py"),
        ("my__pycache__/a.pyc", "my__pycache__/a.py"),
    ],
)
def test_the_source_of_bytecode(bytecode: str, source: str) -> None:
    assert pyc.source_of(bytecode) == source


def compiled(
    folder: Path, mode: py_compile.PycInvalidationMode = py_compile.PycInvalidationMode.TIMESTAMP
) -> Path:
    source = folder / "m.py"
    source.write_text("x = 1\n")
    os.utime(source, (2_000_000_000, 2_000_000_000))
    made = py_compile.compile(str(source), invalidation_mode=mode)
    assert made
    return Path(made)


def followed(path: Path, sources: pyc.Sources) -> bytes:
    with path.open("r+b", buffering=0) as file:
        pyc.follow(file.fileno(), "__pycache__/m.cpython-311.pyc", sources, CLAMP)
    return path.read_bytes()


MOVED = pyc.Sources({"m.py": (2_000_000_000, CLAMP)}, {"m.py"})


def test_the_recorded_time_follows_and_nothing_else_changes(tmp_path: Path) -> None:
    path = compiled(tmp_path)
    before = path.read_bytes()
    after = followed(path, MOVED)
    assert after[8:12] == CLAMP.to_bytes(4, "little")
    assert after[:8] + before[8:12] + after[12:] == before
    marshal.loads(after[16:])


@pytest.mark.parametrize(
    "sources",
    [
        pyc.Sources({"m.py": (1_999_999_999, CLAMP)}, {"m.py"}),  # out of date already
        pyc.Sources({}, {"m.py"}),  # the source keeps its time
        pyc.Sources({"other.py": (2_000_000_000, CLAMP)}, {"m.py", "other.py"}),
    ],
)
def test_what_is_out_of_date_or_another_s_stays_as_it_is(tmp_path: Path, sources: pyc.Sources) -> None:
    path = compiled(tmp_path)
    before = path.read_bytes()
    assert followed(path, sources) == before


def test_without_a_source_the_recorded_time_is_limited(tmp_path: Path) -> None:
    after = followed(compiled(tmp_path), pyc.Sources({}, set()))
    assert after[8:12] == CLAMP.to_bytes(4, "little")


@pytest.mark.parametrize(
    "mode", [py_compile.PycInvalidationMode.CHECKED_HASH, py_compile.PycInvalidationMode.UNCHECKED_HASH]
)
def test_bytecode_that_goes_by_a_hash_stays_as_it_is(
    tmp_path: Path, mode: py_compile.PycInvalidationMode
) -> None:
    path = compiled(tmp_path, mode)
    before = path.read_bytes()
    assert followed(path, MOVED) == before


@pytest.mark.parametrize(
    ("header", "offset"),
    [
        (62211, 4),  # 2.7
        (3379, 4),  # 3.6
        (3394, 8),  # 3.7
        (3495, 8),  # 3.11
        (240, -1),  # PyPy
    ],
)
def test_headers_of_other_versions(tmp_path: Path, header: int, offset: int) -> None:
    time = (2_000_000_000).to_bytes(4, "little")
    fields = time + bytes(8) if offset == 4 else bytes(4) + time + bytes(4)
    path = tmp_path / "other.pyc"
    before = header.to_bytes(2, "little") + b"\r\n" + fields + b"code"
    path.write_bytes(before)
    after = followed(path, MOVED)
    if offset < 0:
        assert after == before
    else:
        assert after[offset : offset + 4] == CLAMP.to_bytes(4, "little")


@pytest.mark.parametrize("data", [b"", b"short", bytes(16), b"#!/bin/sh\necho this is no bytecode"])
def test_other_files_of_that_name_stay_as_they_are(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.pyc"
    path.write_bytes(data)
    assert followed(path, MOVED) == data


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_step_that_compiles_leaves_bytecode_that_python_takes(tmp_path: Path) -> None:
    """One layer has sources that are older than the limit, newer, and touched again after compiling."""

    def check() -> None:
        with Store.open(f"{tmp_path}/store") as store:
            layers = Layers(store)
            first = committed(store, layers, (), write_and_compile)
            chain = (first,)
            assert states(store, layers, chain) == {"old": True, "new": True, "stale": False}
            second = committed(store, layers, chain, change_new)
            assert states(store, layers, (first, second)) == {"old": True, "new": False, "stale": False}

    with_own_mounts(check)


def write_and_compile(root: Path) -> None:
    for name in ("old", "new", "stale"):
        (root / f"{name}.py").write_text("value = 1\n")
    os.utime(root / "old.py", (1000, 1000))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], check=True)
    os.utime(root / "stale.py", (2_000_000_000, 2_000_000_000))


def change_new(root: Path) -> None:
    """Another content of the same size, and not compiled."""
    (root / "new.py").write_text("value = 2\n")


def committed(store: Store, layers: Layers, chain: tuple[Digest, ...], change: object) -> Digest:
    assert callable(change)
    with store.scratch("test") as scratch:
        with overlay(store, layers, chain, scratch) as mounted:
            change(Path(mounted.path))
        layer = commit(layers, mounted.upper, View(layers, chain), clamp=CLAMP)
    assert layer
    return layer.diff_id


def states(store: Store, layers: Layers, chain: tuple[Digest, ...]) -> dict[str, bool]:
    """Whether Python takes each module's bytecode, by its own check of the recorded time and size."""
    taken = {}
    with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
        for name in ("old", "new", "stale"):
            source = f"{mounted.path}/{name}.py"
            header = Path(importlib.util.cache_from_source(source)).read_bytes()[:16]
            status = os.stat(source)
            recorded = (int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little"))
            taken[name] = recorded == (int(status.st_mtime), status.st_size)
            output = subprocess.run(
                [sys.executable, "-v", "-c", f"import {name}; print({name}.value)"],
                env={"PYTHONPATH": mounted.path, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
            assert (
                f"matches {source}" in output.stderr
                if taken[name]
                else f"matches {source}" not in output.stderr
            )
            assert int(output.stdout) == (2 if "2" in Path(source).read_text() else 1)
    return taken
