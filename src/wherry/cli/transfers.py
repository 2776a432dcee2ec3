"""The layers of a pull or a push as lines of text, in docker's words.

A layer's line is printed when the layer is done. On a terminal the ones under way stand below, each with a
bar, and are drawn again a few times a second.
"""

from __future__ import annotations

import os
import sys
import time
from threading import Lock
from types import TracebackType
from typing import TextIO

from wherry.base.events import Event, Note, Transfer
from wherry.base.tuples import NamedTuple
from wherry.ui import terminal
from wherry.ui.units import bytes_of

_BAR = 30
_INTERVAL = 0.1


class Words(NamedTuple):
    """What docker calls a layer's states."""

    moving: str
    done: str
    present: str


PULL = Words("Downloading", "Pull complete", "Already exists")
COPY = Words("Copying", "Copied", "Already exists")
PUSH = Words("Pushing", "Pushed", "Layer already exists")


class Transfers:
    """An `Emit`, for use in a `with` block; `quiet` shows nothing but warnings."""

    def __init__(self, words: Words, stream: TextIO, quiet: bool = False) -> None:
        self._words = words
        self._stream = stream
        self._quiet = quiet
        self._live = terminal.interactive(stream) and not quiet
        self._active: dict[str, Transfer] = {}
        self._drawn = 0
        self._next = 0.0
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Note):
                if self._quiet and event.level != "warning":
                    return
                self._erase()
                print(f"{event.level}: {event.text}", file=sys.stderr)
            elif isinstance(event, Transfer) and not self._quiet:
                self._take(event)

    def _take(self, event: Transfer) -> None:
        if event.total and event.done >= event.total:
            word = self._words.done if event.what in self._active else self._words.present
            self._active.pop(event.what, None)
            self._erase()
            print(f"{event.what}: {word}", file=self._stream, flush=True)
            self._next = 0.0
        elif event.total:  # one without a size only waits for its turn
            self._active[event.what] = event
        if self._live and time.monotonic() >= self._next:
            self._draw()

    def _draw(self) -> None:
        self._erase()
        columns, rows = os.get_terminal_size(self._stream.fileno())
        moving = [event for event in self._active.values() if event.done][: max(rows - 2, 1)]
        for event in moving:
            self._stream.write(_line(event, self._words.moving)[: max(columns - 1, 1)] + "\n")
        self._stream.flush()
        self._drawn = len(moving)
        self._next = time.monotonic() + _INTERVAL

    def _erase(self) -> None:
        """Take the lines under way off the terminal again."""
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def __enter__(self) -> Transfers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._erase()
            self._stream.flush()


def _line(event: Transfer, word: str) -> str:
    filled = _BAR * event.done // event.total if event.total else 0
    bar = ("=" * filled + ">")[:_BAR].ljust(_BAR)
    return f"{event.what}: {word} [{bar}] {bytes_of(event.done)}/{bytes_of(event.total)}"
