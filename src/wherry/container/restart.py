"""What becomes of a container whose process has ended."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class Restart(NamedTuple):
    """When the process is started again: never, the one policy that there is yet."""
