"""Progress on a terminal: steps that ended as lines that stay, running ones live below them.

A build with nothing to do ends before the live view has begun: its lines are printed as they are, and
rich, which draws the live view, is not even imported. The drawing has its own thread, so that neither the
import nor a slow terminal holds up the work.
"""

from __future__ import annotations

import os
import time
from threading import Event as Signal
from threading import Lock, Thread
from types import TracebackType
from typing import TextIO

from wherry.base.events import Emit, Event
from wherry.ui import layout, terminal
from wherry.ui.board import Board
from wherry.ui.layout import Line

_DELAY = 0.1
"""Seconds after which the live view begins."""
_INTERVAL = 0.1

_MARGIN = 2
"""Columns left free: the terminal echoes `^C` there, and must not begin a new line for it."""

_CODES = {"": "", "dim": "2", "bold": "1", "cyan": "36", "yellow": "33", "bold red": "1;31"}


class Tty:
    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream = stream
        self._title = title
        self._lock = Lock()
        self._over = Signal()
        self._thread = Thread(target=self._watch, name="progress", daemon=True)
        self._board = Board(time.monotonic())

    def __enter__(self) -> Emit:
        self._thread.start()
        return self._emit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        columns, _ = self._size()
        lines = [layout.lasting(item, columns) for item in self._board.fresh]
        lines += [layout.canceled(step, time.monotonic(), columns) for step in self._board.running()]
        lines.append(layout.total(self._board, self._title, time.monotonic(), finished=error is None))
        self._stream.write("".join(self._painted(line) + "\n" for line in lines))
        self._stream.flush()

    def _emit(self, event: Event) -> None:
        with self._lock:
            self._board.take(event, time.monotonic())

    def _watch(self) -> None:
        if self._over.wait(_DELAY):
            return
        from wherry.ui.live import Live

        if self._over.is_set():
            return
        with Live(self._stream) as live:
            while not self._over.is_set():
                live.draw(*self._lines())
                self._over.wait(_INTERVAL)

    def _lines(self) -> tuple[list[Line], list[Line]]:
        """New lines that stay, and the live lines."""
        columns, rows = self._size()
        with self._lock:
            fresh, self._board.fresh = self._board.fresh, []
            live = layout.live(self._board, self._title, time.monotonic(), columns, rows - 1)
        return [layout.lasting(item, columns) for item in fresh], live

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return 80, 24
        return max((size.columns or 80) - _MARGIN, 1), size.lines or 24

    def _painted(self, line: Line) -> str:
        code = _CODES[line.style] if terminal.colors(self._stream) else ""
        return f"\x1b[{code}m{line.text}\x1b[0m" if code else line.text
