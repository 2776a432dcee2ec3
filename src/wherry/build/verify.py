"""`build --verify`: every step is executed once more on the layers that it stood on, and the two results are
compared. Nothing of the second execution is recorded, and nothing of it gets into the image.

The second time another second has begun for every step, processes have other numbers, and one processor less
is there if there are several: so what depends on the clock, on luck or on who comes first shows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.base.events import Cached, Done, Emit, Event, Failed, Note, Output, Started, Transfer
from wherry.base.text import clipped, counted
from wherry.base.tuples import NamedTuple
from wherry.build.account import EXECUTED, counts
from wherry.build.differing import Differing, differing
from wherry.build.solve import Cancelled, Chain, Made, Outcome, solve
from wherry.build.step import Run, Step
from wherry.build.worker import Executing
from wherry.layer.layers import Layers
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.execute import Executor

_APART = 2.0
"""Seconds from the first executions to the second ones: times in zip archives are of two."""
_LISTED = 20
"""Paths of a step that are told one by one."""
_LONGEST = 120
"""Characters of a step's name."""
_PIDS = 20_000
"""Numbers of processes, which begin at 2 otherwise, begin beyond it."""


class Variation(NamedTuple):
    """In what the second execution is other than the first: see `execute.Settings`."""

    first_pid: int
    processors: frozenset[int]


class NotReproducible(WherryError):
    """Steps gave two results: a verdict of its own, and no failure to build."""

    exit_code = 2


def variation() -> Variation:
    here = sorted(os.sched_getaffinity(0))
    return Variation(_PIDS + os.getpid() % 10_000, frozenset(here[1:] or here))


def verify(
    store: Store,
    steps: Sequence[Step],
    outcomes: Sequence[Outcome],
    executor: Callable[[Emit], Executor],
    jobs: int | None,
    emit: Emit,
) -> None:
    """Execute all steps again and compare what they give with `outcomes`, also with those from the cache.

    NotReproducible names what differs. Another WherryError where a step does not succeed the second time.
    """
    if any(outcome.went.result == EXECUTED for outcome in outcomes):
        time.sleep(_APART)
    shown = _Shown(emit, len(steps) + 1)
    again = _Again(store, outcomes, lambda: executor(shown))
    try:
        solve(steps, again, shown, jobs)
    except Cancelled:
        raise
    except WherryError as error:
        error.hint = (
            f"{error.hint}\nit succeeded the first time: this is its second execution, of --verify".lstrip()
        )
        raise
    finally:
        again.close()
    count = sum(counts(step.name) for step in steps)
    if again.found:
        raise _verdict(steps, again.found, count)
    emit(Note("info", f"reproducible: {counted(count, 'step')} gave the same twice"))


class _Again(Executing):
    """A worker that takes nothing from anywhere; what comes next stands on the first results."""

    def __init__(self, store: Store, outcomes: Sequence[Outcome], executor: Callable[[], Executor]) -> None:
        super().__init__(executor)
        self._layers = Layers(store)
        self._outcomes = outcomes
        self._lock = threading.Lock()
        self.found: dict[int, list[Differing]] = {}
        """What differs, by the steps' numbers."""

    def find(self, _step: Step, _parent: Chain, _inputs: list[Chain]) -> Made | None:
        return None

    def duration(self, step: Step) -> float:
        return self._outcomes[step.number].went.seconds

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        assert self._executor is not None
        first = self._outcomes[step.number].layer
        second = self._executor.again(step, parent, inputs)
        if first != second:
            found = differing(self._layers, first, second, quotes=not _has_secrets(step))
            with self._lock:
                self.found[step.number] = found
        return Made(first)


def _has_secrets(step: Step) -> bool:
    operation = step.operation
    return isinstance(operation, Run) and any(mount.kind == "secret" for mount in operation.mounts)


class _Shown:
    """The progress of the second executions: lines of their own below those of the first."""

    def __init__(self, emit: Emit, above: int) -> None:
        self._emit = emit
        self._above = above

    def __call__(self, event: Event) -> None:
        if isinstance(event, Cached):
            return  # FROM: nothing is executed for it
        if isinstance(event, Started):
            event = event._replace(name=event.name.replace("[", "[verify ", 1))
        if isinstance(event, Started | Output | Transfer | Done | Failed) and event.vertex:
            event = event._replace(vertex=event.vertex + self._above)
        self._emit(event)


def _verdict(steps: Sequence[Step], found: dict[int, list[Differing]], count: int) -> NotReproducible:
    parts = [_lines(steps[number], found[number]) for number in sorted(found)]
    return NotReproducible(
        f"not reproducible: {len(found)} of {count} steps gave something else the second time",
        excerpt="\n\n".join("\n".join(part) for part in parts),
        hint="docs/reproducible.md says what makes steps differ and how to mend it; nothing was named",
    )


def _lines(step: Step, found: list[Differing]) -> list[str]:
    lines = [clipped(step.name, _LONGEST)]
    told = ""
    for item in found[:_LISTED]:
        lines.append(f"  /{item.path}: {'; '.join(item.what)}")
        if item.cause and item.cause != told:
            lines.append(f"      {item.cause}")
            told = item.cause
    if len(found) > _LISTED:
        lines.append(f"  ... and {len(found) - _LISTED} more")
    return lines
