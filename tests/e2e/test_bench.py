"""The benchmarks start as `make bench` starts them; what they measure is nobody's test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_make_bench_finds_its_program() -> None:
    printed = subprocess.run(
        ["make", "-n", "bench", "ARGS=--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (words,) = re.findall(r"^PYTHONPATH=tests \S+/python (.*)$", printed, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *words.split()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--with" in done.stdout


def test_a_table_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.lookups", "--quick"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[0].split() == ["LOOK-UP", "OF", "A", "RESULT", "(min,", "median)", "found", "not", "found"]
    assert all(re.search(r"\d (µs|ms|s)$", line) for line in lines[1:])
