"""The line that sums a build up: `7 steps: 5 reused, 2 run, 3.1 s; saved 41 s`."""

from __future__ import annotations

from wherry.base.events import Tally
from wherry.ui.units import span

_LEAST = 0.05
"""Seconds: what is less would be shown as none."""


def line(tally: Tally) -> str:
    """Nothing where no step counts."""
    if not tally.steps:
        return ""
    groups = ((tally.reused, "reused"), (tally.executed, "run"), (tally.failed, "failed"))
    kinds = [(count, word) for count, word in groups if count]
    if len(kinds) == 1 and kinds[0][0] == tally.steps:
        outcome = f"{'all ' * (tally.steps > 1)}{kinds[0][1]}"
    else:
        outcome = ", ".join(f"{count} {word}" for count, word in kinds)
    saved = f"; saved {span(tally.saved)}" if tally.saved >= _LEAST else ""
    return f"{tally.steps} step{'s' * (tally.steps > 1)}: {outcome}, {span(tally.seconds)}{saved}"
