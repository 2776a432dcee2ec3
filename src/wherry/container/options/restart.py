"""Restart policies: whether a container that has ended runs again, and when (moby, restartmanager.go)."""

from __future__ import annotations

import re

from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple

POLICIES = ("no", "on-failure", "always", "unless-stopped")

_FIRST = 0.1
_LONGEST = 60.0
_SETTLED = 10.0


class Restart(NamedTuple):
    """`name` is one of POLICIES; `retries` bounds the restarts of on-failure, where it is not 0."""

    name: str = "no"
    retries: int = 0

    def __bool__(self) -> bool:
        return self.name != "no"


def parse(word: str) -> Restart:
    """`no`, `on-failure`, `on-failure:5`, `always`, `unless-stopped`; nothing is `no`."""
    name, colon, count = word.partition(":")
    if not word:
        return Restart()
    if name not in POLICIES:
        raise UsageError(
            f"invalid restart policy: unknown policy {name!r}",
            hint="it is one of no, on-failure[:N], always, unless-stopped",
        )
    if colon and name != "on-failure":
        raise UsageError("invalid restart policy: only on-failure has a maximum of restarts")
    if colon and not re.fullmatch("[0-9]{1,9}", count):
        raise UsageError(
            f"invalid restart policy: {count!r} is no maximum of restarts", hint="write on-failure:5"
        )
    return Restart(name, int(count or 0))


class Backoff:
    """How a policy is kept: how often it has restarted, and how long it waits before the next time."""

    def __init__(self, policy: Restart) -> None:
        self._policy = policy
        self._delay = 0.0
        self.restarts = 0

    def next(self, code: int, lasted: float) -> float | None:
        """The seconds until the next start of what ran for `lasted` seconds and ended with `code`.

        None where it is not started again; else this counts as a restart.
        """
        self._delay = _FIRST if lasted >= _SETTLED or not self._delay else min(2 * self._delay, _LONGEST)
        if not self._wants(code):
            return None
        self.restarts += 1
        return self._delay

    def _wants(self, code: int) -> bool:
        if self._policy.name == "on-failure":
            return code != 0 and (not self._policy.retries or self.restarts < self._policy.retries)
        return bool(self._policy)
