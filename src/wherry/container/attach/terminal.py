"""The terminal that a command was called from: its size, its keys as they are typed; signals for a loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def size() -> os.terminal_size | None:
    """Of the first of stdin, stdout and stderr that is a terminal."""
    for descriptor in (0, 1, 2):
        try:
            return os.get_terminal_size(descriptor)
        except OSError:
            continue
    return None


@contextmanager
def raw() -> Iterator[None]:
    """Every key of the terminal at stdin goes to who reads it; at the end all is as it was."""
    import termios
    import tty

    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Heard:
    """Signals for an event loop: handlers do nothing but wake it; it reads the numbers from a pipe."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._saved: dict[int, Any] = {
            number: signal.signal(number, lambda _number, _frame: None) for number in numbers
        }
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def take(self) -> bytes:
        """The numbers of those that came."""
        return os.read(self._reader, 64)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._saved.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
