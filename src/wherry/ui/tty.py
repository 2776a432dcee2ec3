"""Progress on a terminal: steps that ended as lines that stay, running ones live below them.

A build with nothing to do ends before the live view has begun: its lines are printed as they are, and
rich, which draws the live view, is not even imported. The drawing has its own thread, so that neither the
import nor a slow terminal holds up the work.

There is no such thread before the first step is started, nor while the thread that opened the view has
none running: it may have to enter namespaces, which takes a process of one thread (runtime/modes.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event as Signal
from threading import Lock, Thread, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from wherry.base.events import Emit, Event, Output, Transfer
from wherry.ui import layout, terminal
from wherry.ui.board import Board
from wherry.ui.layout import Line

if TYPE_CHECKING:
    from wherry.ui.live import Live

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
        self._opener = get_ident()
        self._lock = Lock()
        self._board = Board(time.monotonic())
        self._painter: _Painter | None = None
        self._live: Live | None = None
        self._due = self._board.started + _DELAY

    def __enter__(self) -> Emit:
        return self._emit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rest()
        try:
            self._end(finished=error is None)
        except OSError:
            if error is None:
                raise  # else the terminal may be gone, and what ended the block says more

    def _end(self, *, finished: bool) -> None:
        if self._live:
            self._live.close()
        columns, _ = self._size()
        lines = [layout.lasting(item, columns) for item in self._board.fresh]
        lines += [layout.canceled(step, time.monotonic(), columns) for step in self._board.running()]
        lines.append(layout.total(self._board, self._title, time.monotonic(), finished=finished))
        lines += layout.tally(self._board)
        lines += [line for item in self._board.summaries for line in layout.summary(item)]
        self._stream.write("".join(self._painted(line) + "\n" for line in lines))
        self._stream.flush()

    def _emit(self, event: Event) -> None:
        with self._lock:
            self._board.take(event, time.monotonic())
            if isinstance(event, Output | Transfer):
                return
            is_busy = bool(self._board.running())
            if is_busy and self._painter is None:
                self._painter = _Painter(self._draw_when_due)
        if not is_busy and get_ident() == self._opener:
            self._rest()

    def _rest(self) -> None:
        """Stop painting, until a step is started."""
        with self._lock:
            painter, self._painter = self._painter, None
        if painter:
            painter.stop()

    def _draw_when_due(self) -> float:
        """Draw if it is time; the seconds until it will be."""
        wait = self._due - time.monotonic()
        if wait <= 0:
            if self._live is None:
                from wherry.ui.live import Live

                self._live = Live(self._stream)
            self._live.draw(*self._lines())
            wait = _INTERVAL
            self._due = time.monotonic() + wait
        return wait

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


class _Painter:
    """A thread that calls `work` until it is stopped; `work` tells how many seconds to wait in between."""

    def __init__(self, work: Callable[[], float]) -> None:
        self._work = work
        self._over = Signal()
        self._thread = Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._over.wait(wait):
            wait = self._work()
