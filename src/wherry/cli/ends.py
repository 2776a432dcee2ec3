"""Ending by a signal: as Ctrl-C does it, with all that was begun put away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""`kill`, and a terminal that is closed. Without a handler they end a process where it stands."""


class Ended(KeyboardInterrupt):
    """A signal other than Ctrl-C's; `exit_code` is what a shell shows for it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def raised() -> Iterator[None]:
    """Raise `Ended` in the main thread when a signal comes. One that is ignored (nohup) stays so."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: object) -> None:
    raise Ended(number)
