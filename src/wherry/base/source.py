"""The lines of a file that an error shows below its message, with a marker, as BuildKit shows them.

3 |     COPY . .
4 | >>> RUN false
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.text import clipped, harmless

_MARGIN = 2
"""Lines shown before and after those at fault."""

_WIDEST = 400
"""Characters of a line that are shown."""

_FIRST, _LAST = 12, 5
"""Lines of a long instruction that are shown of its beginning and of its end."""


def excerpt(lines: Sequence[str], start: int, end: int = 0) -> str:
    """Lines `start` to `end` (from 1, both included) marked, and the lines around them; harmless.

    "" where there is no line `start`.
    """
    if lines and not lines[-1]:
        lines = lines[:-1]  # what split() leaves behind the last line end
    end = min(max(start, end), len(lines))
    if not 1 <= start <= len(lines):
        return ""
    shown = []
    for number in range(max(start - _MARGIN, 1), min(end + _MARGIN, len(lines)) + 1):
        if start + _FIRST <= number <= end - _LAST:
            if number == start + _FIRST:
                shown.append("     | ...")
            continue
        marker = ">>>" if start <= number <= end else "   "
        text = clipped(harmless(lines[number - 1].expandtabs(4)), _WIDEST)
        shown.append(f"{number:4} | {marker} {text}".rstrip())
    return "\n".join(shown)
