"""A few transfers at a time, on threads that never keep the program from ending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from wherry.base.errors import WherryError

Item = TypeVar("Item")

_PATIENCE = 2.0
"""Seconds that an interrupted command waits for its threads: they may hang in a silent connection."""


class Stopped(WherryError):
    """Another transfer failed, or the user pressed Ctrl-C: no use to go on."""


class Stop:
    """Asked by the workers between two blocks."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        if self._event.is_set():
            raise Stopped("stopped")


def each(work: Callable[[Item, Stop], None], items: Sequence[Item], threads: int) -> None:
    """Call `work` for every item, `threads` at a time, in their order; raises the first failure.

    The rest is told to stop then, and on Ctrl-C. One item alone is worked on by the caller's thread.
    """
    stop = Stop()
    if len(items) < 2:
        for item in items:
            work(item, stop)
        return
    pending: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        pending.put(item)
    failures: SimpleQueue[BaseException] = SimpleQueue()

    def worker() -> None:
        try:
            while True:
                stop.check()
                work(pending.get_nowait(), stop)
        except (Empty, Stopped):
            return
        except BaseException as error:
            failures.put(error)
            stop.set()

    running = [Thread(target=worker, daemon=True) for _ in range(min(threads, len(items)))]
    for thread in running:
        thread.start()
    try:
        for thread in running:
            thread.join()
    except BaseException:
        stop.set()
        for thread in running:
            thread.join(_PATIENCE / len(running))
        raise
    if not failures.empty():
        raise failures.get()
