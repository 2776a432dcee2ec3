"""How much is kept of what a container writes."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class LogLimits(NamedTuple):
    """The bounds of the log; all is kept yet."""
