"""The worker that `solve` calls: it looks steps up, and brings in what executing needs on the first miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.build.records import Recorder
from wherry.build.solve import Chain, Made
from wherry.build.step import Step
from wherry.store.records import Record

if TYPE_CHECKING:
    from wherry.build.execute import Executor


class Worker:
    """`executor` is called once, by `prepare`. With `no_cache` records are written, and none is looked up."""

    def __init__(self, recorder: Recorder, no_cache: bool, executor: Callable[[], Executor]) -> None:
        self._recorder = recorder
        self._no_cache = no_cache
        self._make_executor = executor
        self._executor: Executor | None = None

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Record | None:
        if self._no_cache:
            return None
        try:
            return self._recorder.find(step, parent, inputs)
        except WherryError as error:
            error.where = error.where or step.where
            raise

    def prepare(self) -> None:
        self._executor = self._make_executor()

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        assert self._executor is not None
        return self._executor.execute(step, parent, inputs)

    def cancel(self) -> None:
        if self._executor is not None:
            self._executor.cancel()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()
