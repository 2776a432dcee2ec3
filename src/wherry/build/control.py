"""Which results a build does without, although they hold: what the user wants to have executed."""

from __future__ import annotations

import time

from wherry.base.tuples import NamedTuple
from wherry.build.step import Run, Step
from wherry.store.records import Result


class Control(NamedTuple):
    """`no_cache`: nothing is looked up; `executed` are the numbers of steps of which that is so alone.

    `since` is a point in time, in unix seconds: what was made with the network's help until then is too old.
    None: nothing is.
    """

    no_cache: bool = False
    executed: frozenset[int] = frozenset()
    since: float | None = None

    def executes(self, step: Step) -> bool:
        """Whether no result of the step is looked up."""
        return self.no_cache or step.number in self.executed

    def takes(self, step: Step, result: Result) -> bool:
        """Whether the result is new enough. One of the future is not: the clock has been set back since.

        What ADD fetches is asked for in every build: it has no age.
        """
        if self.since is None or not (result.networked and isinstance(step.operation, Run)):
            return True
        return self.since < result.made <= time.time()
