"""The worker that `solve` calls: it looks steps up, and brings in what executing needs on the first miss."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.build.account import FAILED, Went
from wherry.build.records import Recorder
from wherry.build.solve import Chain, Made
from wherry.build.step import Step

if TYPE_CHECKING:
    from wherry.build.execute import Executor
    from wherry.build.left import Left


class Executing:
    """Executes steps by an executor, which is made when the first of them has to be: by `prepare`."""

    def __init__(self, executor: Callable[[], Executor]) -> None:
        self._make_executor = executor
        self._executor: Executor | None = None

    def prepare(self) -> None:
        self._executor = self._make_executor()

    def cancel(self) -> None:
        if self._executor is not None:
            self._executor.cancel()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()


class Worker(Executing):
    """Records are always written; whether one is looked up says the recorder's `control`."""

    def __init__(self, recorder: Recorder, executor: Callable[[], Executor]) -> None:
        super().__init__(executor)
        self._recorder = recorder
        self._failures: list[tuple[Step, WherryError]] = []
        self._failed: dict[int, float] = {}

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made | None:
        if self._recorder.control.executes(step):
            return None
        try:
            return self._recorder.find(step, parent, inputs)
        except WherryError as error:
            error.where = error.where or step.where
            self._failures.append((step, error))
            raise

    def duration(self, step: Step) -> float:
        return self._recorder.duration(step)

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        assert self._executor is not None
        began = time.monotonic()
        try:
            made = self._executor.execute(step, parent, inputs)
        except WherryError as error:
            self._failures.append((step, error))
            self._failed[step.number] = time.monotonic() - began
            raise
        if made.reused:
            return made
        return made._replace(went=made.went._replace(miss=self._recorder.misses.get(step.number)))

    def failed(self, error: WherryError) -> Step | None:
        """The step that raised `error`."""
        return next((step for step, raised in self._failures if raised is error), None)

    def failure_of(self, step: Step) -> Went:
        """How a step went that failed."""
        return Went(FAILED, self._failed.get(step.number, 0), miss=self._recorder.misses.get(step.number))

    def left_by(self, step: Step) -> Left | None:
        """What the failed process of a step left; None where there is nothing."""
        return self._executor.left.get(step.number) if self._executor is not None else None
