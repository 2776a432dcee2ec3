"""docs/lint is what the rules say; `python -m wherry.lint.pages docs/lint` makes it anew."""

from __future__ import annotations

from pathlib import Path

from wherry.lint.pages import pages

FOLDER = Path(__file__).parents[3] / "docs" / "lint"


def test_the_pages_are_up_to_date() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == pages()
