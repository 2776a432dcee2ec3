"""Runs a container's health check, one at a time, as long as the container runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from wherry.base.errors import WherryError
from wherry.container.attach.streams import Streams
from wherry.container.monitor.execution import Order
from wherry.container.monitor.hold import Hold
from wherry.container.monitor.switchboard import Switchboard
from wherry.container.options.health import LONGEST_OUTPUT, Condition, Health, Result
from wherry.runtime.helper import Running

Changed = Callable[[Condition], None]
"""Gets what is known after a check."""


class Checks:
    """`begin` when the container runs; what ends its session on the switchboard ends this too."""

    def __init__(
        self, health: Health, condition: Condition, board: Switchboard, hold: Hold, changed: Changed
    ) -> None:
        self._health = health
        self._condition = condition
        self._board = board
        self._hold = hold
        self._changed = changed
        self._order = Order(health.args)

    def begin(self) -> None:
        self._born = time.monotonic()
        self._wait()

    def _wait(self) -> None:
        delay = self._health.delay(self._condition.status, time.monotonic() - self._born)
        self._board.timers.after(delay, self._check)

    def _check(self) -> None:
        if self._hold.is_paused:
            self._wait()
            return
        check = _Check(self._health, self._board, self._hold, self._conclude)
        self._age = time.monotonic() - self._born
        self._board.carry_out(self._hold.execute(self._order), check.begin, check.fail)

    def _conclude(self, result: Result) -> None:
        if self._board.is_ending:
            return  # what has ended the container may have ended the check
        self._condition = self._condition.after(result, self._health, self._age)
        self._changed(self._condition)
        self._wait()


class _Check:
    """One run of the check."""

    def __init__(
        self, health: Health, board: Switchboard, hold: Hold, conclude: Callable[[Result], None]
    ) -> None:
        self._patience = health.patience
        self._board = board
        self._hold = hold
        self._conclude = conclude
        self._started = time.time()
        self._output = b""
        self._is_cut = False
        self._is_late = False

    def begin(self, made: tuple[Streams, Running]) -> None:
        streams, running = made
        self._running = running
        self._grant_time()
        self._board.open(streams, running, self._take, self._done)

    def fail(self, error: WherryError | OSError) -> None:
        """It could not be executed."""
        reason = error.message if isinstance(error, WherryError) else error.strerror or str(error)
        self._tell(-1, reason)

    def _grant_time(self) -> None:
        self._timer = self._board.timers.after(self._patience, self._stop)

    def _stop(self) -> None:
        if self._hold.is_paused:  # it cannot help that
            self._grant_time()
            return
        self._is_late = True
        self._running.kill_group()

    def _take(self, _stream: int, data: bytes) -> None:
        room = LONGEST_OUTPUT - len(self._output)
        self._output += data[:room]
        self._is_cut = self._is_cut or len(data) > room

    def _done(self, code: int) -> None:
        self._timer.cancel()
        text = self._output.decode(errors="replace") + ("..." if self._is_cut else "")
        if self._is_late:
            self._tell(-1, f"Health check exceeded timeout ({self._patience:g}s){text and f': {text}'}")
        else:
            self._tell(code, text)

    def _tell(self, code: int, output: str) -> None:
        self._conclude(Result(self._started, time.time(), code, output))
