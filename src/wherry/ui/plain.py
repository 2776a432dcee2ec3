"""Progress as lines, in BuildKit's form, for pipes and logs.

    #5 [2/5] RUN make
    #5 0.412 cc -c main.c
    #5 DONE 0.6s

One step has the floor; what the others say waits until it ends, or until they have waited a second: then
`#5 ...` tells that it is interrupted. Only whole lines are printed, each in one write.
"""

from __future__ import annotations

import time
from threading import Lock, Timer, current_thread
from types import TracebackType
from typing import TextIO

from wherry.base.events import (
    Cached,
    Done,
    Emit,
    Event,
    Failed,
    Note,
    Output,
    Started,
    Summary,
    Tally,
    Transfer,
)
from wherry.base.text import harmless, one_line
from wherry.ui import tally
from wherry.ui.units import bytes_of

_PATIENCE = 1.0
"""Seconds that a step's lines wait while another one has the floor, and between two lines about one blob."""

_LONGEST_LINE = 64 * 1024
"""Bytes after which output without a line end is printed all the same."""


class _Step:
    def __init__(self, number: int, name: str, started: float) -> None:
        self.number = number
        self.name = name
        self.started = started
        self.waiting: list[str] = []
        self.finished = False
        self.partial: dict[int, bytes] = {}
        self.transfers: dict[str, tuple[float, float]] = {}
        """By blob: when it was first heard of, and when a line was last printed about it."""

    def say(self, text: str) -> None:
        self.waiting.append(f"#{self.number} {text}\n")


class Plain:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()
        self._steps: dict[int, _Step] = {}
        self._floor: _Step | None = None
        self._speaker: _Step | None = None
        self._queue: dict[int, _Step] = {}
        self._timer: Timer | None = None

    def __enter__(self) -> Emit:
        return self._emit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for step in self._steps.values():
                if not step.finished:
                    self._end(step, "CANCELED")
                    self._queue.setdefault(step.number, step)
            self._next()

    def _emit(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Note):
                prefix = "WARNING: " if event.level == "warning" else ""
                self._write(f"{prefix}{one_line(event.text)}\n")
                return
            if isinstance(event, Tally):
                if text := tally.line(event):
                    self._write(f"{text}\n")
                return
            if isinstance(event, Summary):
                self._write("\n" + "".join(f" {one_line(line)}\n" for line in event.lines))
                return
            step = self._take(event)
            if step is self._floor or self._floor is None:
                self._give_floor(step)
            elif step.waiting:
                self._queue.setdefault(step.number, step)
                self._wait()

    def _take(self, event: Started | Cached | Output | Transfer | Done | Failed) -> _Step:
        """The step that `event` is about, with what there is to say about it."""
        step = self._steps.get(event.vertex)
        if step is None or (step.finished and isinstance(event, Started)):
            name = event.name if isinstance(event, Started | Cached) else ""
            started = event.time if isinstance(event, Started | Output) else time.monotonic()
            step = self._steps[event.vertex] = _Step(event.vertex, one_line(name), started)
        if isinstance(event, Output):
            self._output(step, event)
        elif isinstance(event, Transfer):
            self._transfer(step, event)
        elif isinstance(event, Cached):
            self._end(step, f"{event.word} {one_line(event.reason)}".rstrip())
        elif isinstance(event, Done):
            self._end(step, f"DONE {event.seconds:.1f}s")
        elif isinstance(event, Failed):
            self._end(step, f"ERROR: {one_line(event.message)}")
        return step

    def _output(self, step: _Step, event: Output) -> None:
        *lines, rest = (step.partial.get(event.stream, b"") + event.data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = b""
        step.partial[event.stream] = rest
        for line in lines:
            self._line(step, line, event.time)

    def _line(self, step: _Step, line: bytes, moment: float) -> None:
        """A progress bar writes over its line again and again: what it showed last is printed."""
        text = harmless(line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace"))
        step.say(f"{_seconds(moment - step.started)} {text}")

    def _transfer(self, step: _Step, event: Transfer) -> None:
        now = time.monotonic()
        first, last = step.transfers.setdefault(event.what, (now, now))
        complete = 0 < event.total <= event.done
        if last == float("inf") or (not complete and now - last < _PATIENCE):
            return
        step.transfers[event.what] = (first, float("inf") if complete else now)
        amount = bytes_of(event.done) + (f" / {bytes_of(event.total)}" if event.total else "")
        done = " done" if complete else ""
        step.say(f"{one_line(event.what)} {amount} {now - first:.1f}s{done}")

    def _end(self, step: _Step, words: str) -> None:
        for rest in step.partial.values():
            if rest:
                self._line(step, rest, time.monotonic())
        step.partial.clear()
        step.say(words)
        step.waiting.append("\n")
        step.finished = True

    def _give_floor(self, step: _Step) -> None:
        self._floor = step
        self._speak(step)
        if step.finished:
            self._next()

    def _next(self) -> None:
        """Print who waits, the longest first, up to one that has more to say."""
        self._floor = None
        while self._queue and self._floor is None:
            step = self._queue.pop(next(iter(self._queue)))
            self._speak(step)
            self._floor = None if step.finished else step
        if self._queue:
            self._wait()
        elif self._timer:
            # Its thread goes with it: as in tty.py, there is none while nothing runs.
            self._timer.cancel()
            self._timer = None

    def _speak(self, step: _Step) -> None:
        header = "" if step is self._speaker else f"#{step.number} {step.name}".rstrip() + "\n"
        self._speaker = step
        self._write(header + "".join(step.waiting))
        step.waiting.clear()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = Timer(_PATIENCE, self._interrupt)
            self._timer.daemon = True
            self._timer.start()

    def _interrupt(self) -> None:
        """The queue has waited long enough: the step that has the floor gives it up."""
        with self._lock:
            if current_thread() is not self._timer:
                return  # canceled while it waited for the lock
            self._timer = None
            if self._floor is None:
                return
            try:
                self._write(f"#{self._floor.number} ...\n\n")
                self._next()
            except OSError:
                # Nobody reads any more; the next event finds out too, in a thread that can tell.
                return

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _seconds(elapsed: float) -> str:
    """Four digits, as BuildKit: `0.412`, `12.34`, `104.5`."""
    return f"{elapsed:.{3 if elapsed < 10 else 2 if elapsed < 100 else 1}f}"
