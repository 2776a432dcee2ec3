"""The tree passes its linters: what CI would say, said by `make test`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("words", ["ruff check", "ruff format --check", "mypy"])
def test_linters(words: str) -> None:
    name, *arguments = words.split()
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.fail(f"{name} is not installed: pip install -e '.[dev]'")
    targets = [] if name == "mypy" else ["src", "tests"]
    done = subprocess.run(
        [program, *arguments, *targets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
