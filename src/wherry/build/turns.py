"""One execution for steps that are equal: of two builds, or two stages, that come to the same step on the
same layers at once, one executes it, and the other one waits and takes the result.

If the first one fails, or is killed, the other one executes the step itself. Who waits holds nothing but the
store's lease, so no two wait for each other: a step's turn comes before its caches, and for those it waits
only for steps that run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.events import Emit, Output
from wherry.build.records import Recorder
from wherry.build.solve import Chain, Made
from wherry.build.step import Copy, Step
from wherry.store import turns
from wherry.store.store import Store

_PATIENCE = 0.05
"""Seconds between two attempts."""


class Turns:
    """`check` raises where the build is to end."""

    def __init__(self, store: Store, recorder: Recorder, emit: Emit, check: Callable[[], None]) -> None:
        self._store = store
        self._recorder = recorder
        self._emit = emit
        self._check = check

    @contextmanager
    def taken(self, step: Step, parent: Chain, inputs: list[Chain]) -> Iterator[Made | None]:
        """The turn to execute the step; or a result that was made by another one meanwhile.

        A build that wants its steps executed waits for nobody. Where much would have to be read to tell what
        a COPY copies, every build reads it.
        """
        content = self._content(step, inputs)
        if content is None:
            yield None
            return
        must = self._recorder.control.executes(step)
        key = self._recorder.key(step, parent, content)
        with turns.taken(self._store, key, None if must else self._waiting(step)):
            yield None if must else self._recorder.exact(step, parent, content)

    def _content(self, step: Step, inputs: list[Chain]) -> str | None:
        """What the step's key says of what comes in; of a COPY it is known where it was looked up."""
        if isinstance(step.operation, Copy):
            return next(iter(self._recorder.taken.get(step.number, ())), None)
        return self._recorder.contents.cheap(step, inputs)

    def _waiting(self, step: Step) -> Callable[[int], None]:
        attempts = 0

        def wait(holder: int) -> None:
            nonlocal attempts
            self._check()
            attempts += 1
            if attempts == 2:
                text = f"waiting for {_named(holder)}\n"
                self._emit(Output(step.number + 1, 2, text.encode(), time.monotonic()))
            time.sleep(_PATIENCE)

        return wait


def _named(holder: int) -> str:
    if holder == os.getpid():
        return "another step of this build that is the same"
    return f"another build that executes this step{f' (pid {holder})' if holder else ''}"
