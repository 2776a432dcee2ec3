"""Golden pairs: `NAME.Dockerfile` and what `wherry parse --format json` says of it.

After a change that is meant: `WHERRY_GOLDEN=write pytest tests/unit/dockerfile`, and read the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wherry.dockerfile.parser import document, parse

FOLDER = Path(__file__).parents[2] / "golden" / "dockerfile"
FILES = sorted(FOLDER.glob("*.Dockerfile"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_syntax(file: Path) -> None:
    found = json.dumps(document(parse(file.read_bytes())), indent=2) + "\n"
    golden = file.with_suffix(".json")
    if os.environ.get("WHERRY_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


def test_there_are_pairs() -> None:
    assert len(FILES) >= 8
