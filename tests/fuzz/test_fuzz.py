"""Fuzzing, a little of it every time: what was found once, then new inputs guided by coverage.

The runs are seeded: the same code gives the same inputs. `make fuzz` goes on for as long as one likes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.targets import TARGETS, seeds

SECONDS = 8
RUNS = 4000


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_is_mended(target: str) -> None:
    found = seeds(target)
    for data in found:
        TARGETS[target](data)
        for end in range(0, len(data), max(len(data) // 8, 1)):
            TARGETS[target](data[:end])


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=300))
def test_any_bytes(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_guided_by_coverage(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    limits = [f"-runs={RUNS}", f"-max_total_time={SECONDS}", "-seed=1", "-max_len=500", "-verbosity=0"]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", target, tmp_path / "corpus", *limits],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
