"""Sizes on disk as users write them."""

from __future__ import annotations

import re

FORM = "write it as 500MB, 10GB, 1.5TB; or as 10GiB for powers of 1024"

_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,20})?) ?(?:([kmgtp])(i?)b?|b)?", re.IGNORECASE | re.ASCII)


def parse(text: str, thousand: int = 1000) -> int | None:
    """Bytes of `10GB`, `1.5g`, `512MiB`, `4096`; None for anything else.

    Units are powers of 1000, as in all that is shown. (docker reads `10GB` as 10 GiB, and shows 10.7GB.)
    With a `thousand` of 1024 they are what docker has where memory is meant.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    number, unit, binary = found.groups()
    power = " kmgtp".index((unit or " ").lower())
    return int(float(number) * (1024 if binary else thousand) ** power)
