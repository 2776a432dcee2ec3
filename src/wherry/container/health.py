"""How it is found out whether a container does what it is for."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class Health(NamedTuple):
    """What the user says of the health check; nothing can be said of it yet."""
