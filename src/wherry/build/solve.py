"""Solving a graph of steps: what has a result is not done again, what can run runs.

First, alone and in order, every step is looked up whose parents are known: a build with nothing to do ends
here, without a thread or a mount. What is left runs on threads as soon as its parents are there, the longest
path first where there are more steps than threads; each result is looked up once more before it is executed,
because a parent's new result may be an old one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from wherry.base.errors import WherryError, reason
from wherry.base.events import Cached, Done, Emit, Failed, Started
from wherry.base.tuples import NamedTuple
from wherry.build.account import BASE, EXECUTED, Went
from wherry.build.step import Base, Step
from wherry.oci.digest import Digest

Chain = tuple[Digest, ...]
"""Diff IDs of the layers of a root filesystem, the lowest first."""


class Cancelled(WherryError):
    """A step was ended because another one failed, or by the user."""

    def __init__(self) -> None:
        super().__init__("cancelled")


class Outcome(NamedTuple):
    """What a step left: its chain of layers; `layer` is its own, None where it changed nothing."""

    chain: Chain
    layer: Digest | None = None
    cached: bool = False
    went: Went = Went()


class Made(NamedTuple):
    """What a step gave. `reused`: it is a result from before; `observed`: it was made on another parent, and
    looked at nothing that is different here. `reason` says more of that, for people; `went` is what is kept
    of it."""

    layer: Digest | None
    reused: bool = False
    observed: bool = False
    reason: str = ""
    went: Went = Went()


class Worker(Protocol):
    """Does what a step says; called from several threads, each step at most once at a time."""

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made | None:
        """The result that holds, if there is one."""

    def duration(self, step: Step) -> float:
        """Seconds that executing the step is likely to take."""

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        """The layer that the step makes, recorded."""

    def prepare(self) -> None:
        """Called once, before the first `execute` and before any thread is started."""

    def cancel(self) -> None:
        """End the processes of running steps: another one failed, or the user has had enough."""


def solve(
    steps: Sequence[Step],
    worker: Worker,
    emit: Emit,
    jobs: int | None = None,
    outcomes: list[Outcome | None] | None = None,
) -> list[Outcome]:
    """An outcome for each step, in their order. The first failure ends the others and is raised.

    `outcomes`, one None for each step, is filled on the way: so far a failed build has come.
    """
    outcomes = [None] * len(steps) if outcomes is None else outcomes
    look_up(steps, worker, emit, outcomes)
    if any(outcome is None for outcome in outcomes):
        worker.prepare()
        _Crew(steps, outcomes, worker, emit, jobs or os.cpu_count() or 1).work()
    return [outcome for outcome in outcomes if outcome is not None]


def look_up(steps: Sequence[Step], worker: Worker, emit: Emit, outcomes: list[Outcome | None]) -> None:
    """Fill in the outcomes that are missing, where there are results."""
    for step in steps:
        if outcomes[step.number] is None:
            _try_cache(step, outcomes, worker, emit)


def _ready(step: Step, outcomes: Sequence[Outcome | None]) -> bool:
    return all(outcomes[number] is not None for number in _needed(step))


def _needed(step: Step) -> tuple[int, ...]:
    return step.inputs if step.parent is None else (*step.inputs, step.parent)


def _longest_first(steps: list[Step], worker: Worker) -> list[Step]:
    """By the seconds from a step's beginning to the end of the longest path that begins with it."""
    if all(step.number in _needed(following) for step, following in pairwise(steps)):
        return steps  # one line, in which nothing is asked of each: there may be hundreds
    ahead = {step.number: 0.0 for step in steps}
    for step in reversed(steps):
        ahead[step.number] += worker.duration(step)
        for number in _needed(step):
            if number in ahead:
                ahead[number] = max(ahead[number], ahead[step.number])
    return sorted(steps, key=lambda step: -ahead[step.number])


def _chains(step: Step, outcomes: Sequence[Outcome | None]) -> tuple[Chain, list[Chain]]:
    def chain(number: int) -> Chain:
        outcome = outcomes[number]
        assert outcome is not None
        return outcome.chain

    return (() if step.parent is None else chain(step.parent)), [chain(number) for number in step.inputs]


def _outcome(parent: Chain, made: Made) -> Outcome:
    chain = parent if made.layer is None else (*parent, made.layer)
    return Outcome(chain, made.layer, made.reused, made.went)


def _try_cache(step: Step, outcomes: list[Outcome | None], worker: Worker, emit: Emit) -> bool:
    if not _ready(step, outcomes):
        return False
    parent, inputs = _chains(step, outcomes)
    if isinstance(step.operation, Base):
        outcomes[step.number] = Outcome(step.operation.diff_ids, None, True, Went(BASE))
    else:
        made = worker.find(step, parent, inputs)
        if made is None:
            return False
        outcomes[step.number] = _outcome(parent, made)
        emit(_cached(step, made))
        return True
    if step.name:
        emit(Cached(step.number + 1, step.name))
    return True


def _cached(step: Step, made: Made) -> Cached:
    word = "CACHED, REUSED" if made.observed else "CACHED"
    return Cached(step.number + 1, step.name, word, made.reason)


class _Crew:
    """Threads that take ready steps until all have an outcome or one has failed."""

    def __init__(
        self,
        steps: Sequence[Step],
        outcomes: list[Outcome | None],
        worker: Worker,
        emit: Emit,
        size: int,
    ) -> None:
        self._steps = steps
        self._outcomes = outcomes
        self._worker = worker
        self._emit = emit
        self._size = size
        self._changed = threading.Condition()
        waiting = [step for step in steps if outcomes[step.number] is None]
        self._waiting = _longest_first(waiting, worker)
        self._alive = 0
        self._failure: BaseException | None = None

    def work(self) -> None:
        count = min(self._size, len(self._waiting))
        try:
            for _ in range(count):
                with self._changed:
                    self._alive += 1
                threading.Thread(target=self._loop, daemon=True).start()
            self._await_end()
        except BaseException as error:
            self._fail(error)
            self._await_end(10)
            raise
        if self._failure is not None:
            raise self._failure

    def _await_end(self, seconds: float | None = None) -> None:
        """Until every thread has ended.

        Not by joining them: CPython 3.11 takes a thread for ended when Ctrl-C interrupts its join, and a
        second join does not wait for what the thread still has to clean up.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._alive == 0, seconds)

    def _loop(self) -> None:
        try:
            self._work_off()
        finally:
            with self._changed:
                self._alive -= 1
                self._changed.notify_all()

    def _work_off(self) -> None:
        while (step := self._take()) is not None:
            try:
                outcome = self._do(step)
            except BaseException as error:
                if not isinstance(error, Cancelled):
                    self._emit(Failed(step.number + 1, reason(error)))
                self._fail(error)
            else:
                self._outcomes[step.number] = outcome
            with self._changed:
                self._changed.notify_all()

    def _take(self) -> Step | None:
        """The next step that can run, that with the longest way ahead; waits for one; None when there is none
        to come."""
        with self._changed:
            while self._failure is None and self._waiting:
                for step in self._waiting:
                    if _ready(step, self._outcomes):
                        self._waiting.remove(step)
                        return step
                self._changed.wait()
            return None

    def _do(self, step: Step) -> Outcome:
        if _try_cache(step, self._outcomes, self._worker, self._emit):
            found = self._outcomes[step.number]
            assert found is not None
            return found
        parent, inputs = _chains(step, self._outcomes)
        began = time.monotonic()
        self._emit(Started(step.number + 1, step.name, began))
        made = self._worker.execute(step, parent, inputs)
        if made.reused:
            self._emit(_cached(step, made))
            return _outcome(parent, made)
        seconds = time.monotonic() - began
        self._emit(Done(step.number + 1, seconds))
        went = made.went._replace(result=EXECUTED, seconds=seconds, layer=made.layer)
        return _outcome(parent, made._replace(went=went))

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            first, self._failure = self._failure is None, self._failure or error
            self._changed.notify_all()
        if first:
            self._worker.cancel()
