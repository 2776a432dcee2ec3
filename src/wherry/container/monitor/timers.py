"""What is to happen at a later time, for an event loop that has nothing else to wake it."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

_LONGEST = 3600.0
"""Seconds: epoll_wait(2) counts milliseconds in 32 bits."""


class Timer:
    """One action that is to come, unless it is cancelled."""

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self._action: Callable[[], None] | None = action

    @property
    def is_cancelled(self) -> bool:
        return self._action is None

    def cancel(self) -> None:
        """A second time, or when it has happened, it changes nothing."""
        self._action = None

    def fire(self) -> None:
        action, self._action = self._action, None
        if action:
            action()


class Timers:
    """Times are seconds of the monotonic clock, which nobody can set."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._waiting: list[tuple[float, int, Timer]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self._clock() + seconds, action)
        heapq.heappush(self._waiting, (timer.due, next(self._count), timer))
        return timer

    def patience(self) -> float | None:
        """Seconds until the next one is due, or an hour where that is later; None where there is none."""
        self._forget_cancelled()
        return min(max(0.0, self._waiting[0][0] - self._clock()), _LONGEST) if self._waiting else None

    def fire(self) -> None:
        """All that are due by now, the earliest first. What they set up is for the next time."""
        now, count = self._clock(), next(self._count)
        while self._waiting and self._waiting[0][0] <= now and self._waiting[0][1] < count:
            heapq.heappop(self._waiting)[2].fire()

    def clear(self) -> None:
        """Cancel all of them."""
        for _, _, timer in self._waiting:
            timer.cancel()
        self._waiting.clear()

    def _forget_cancelled(self) -> None:
        while self._waiting and self._waiting[0][2].is_cancelled:
            heapq.heappop(self._waiting)
