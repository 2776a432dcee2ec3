"""What the stream that is written to can show."""

from __future__ import annotations

import os
from typing import TextIO


def interactive(stream: TextIO) -> bool:
    """Whether lines can be written over: a terminal, and not one that calls itself dumb."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def colors(stream: TextIO) -> bool:
    """Whether colours are welcome (https://no-color.org)."""
    return interactive(stream) and not os.environ.get("NO_COLOR")
