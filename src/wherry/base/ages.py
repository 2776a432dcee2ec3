"""Spans of time as users write them."""

from __future__ import annotations

import re

FORM = "write it as 30m, 12h, 1h30m or 7d"

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5
    "μs": 1e-6,  # U+03BC
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def parse(text: str) -> float | None:
    """Seconds of `24h`, `1h30m`, `1.5s` and `0` as Go has them, of `7d` too; None for anything else."""
    if text == "0":
        return 0.0
    parts = re.findall(r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(ns|us|µs|μs|ms|s|m|h|d)", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text.removeprefix("+"):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
