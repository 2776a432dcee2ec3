"""Sizes as users write them."""

from __future__ import annotations

import pytest

from wherry.base import sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1000),
        ("1.5kB", 1500),
        ("10GB", 10**10),
        ("10 gb", 10**10),
        ("10g", 10**10),
        ("2GiB", 2 << 30),
        ("2gi", 2 << 30),
        ("1TB", 10**12),
        ("7B", 7),
        ("", None),
        ("GB", None),
        ("-1", None),
        ("1e9", None),
        ("1 000", None),
        ("10GBs", None),
        ("\u0661GB", None),
        ("1" * 21, None),
    ],
)
def test_parse(text: str, size: int | None) -> None:
    assert sizes.parse(text) == size
