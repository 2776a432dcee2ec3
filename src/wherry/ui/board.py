"""What is known of a build while it runs, kept for the live view."""

from __future__ import annotations

from collections import deque
from enum import Enum

from wherry.base.events import Cached, Done, Event, Failed, Note, Output, Started, Summary, Tally, Transfer
from wherry.base.text import harmless, one_line

TAIL = 6
"""Lines of a running step's output that can be shown."""

_LONGEST_LINE = 4096


class Status(Enum):
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"


class Step:
    """One vertex. Times are those of the events; `seconds` is set at the end."""

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.started = started
        self.status = Status.RUNNING
        self.seconds = 0.0
        self.word = ""
        self.transfers: dict[str, tuple[int, int]] = {}
        self._lines: deque[str] = deque(maxlen=TAIL)
        self._partial = b""

    def tail(self) -> list[str]:
        """The last lines of output, an unfinished one included, harmless."""
        unfinished = _shown(self._partial)
        return [*self._lines, *([unfinished] if unfinished else [])][-TAIL:]

    def hear(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).rsplit(b"\n", TAIL + 1)
        self._partial = self._partial[-_LONGEST_LINE:]
        for line in lines[-TAIL:]:
            self._lines.append(_shown(line.rpartition(b"\n")[2]))

    def end(self, status: Status, word: str, seconds: float = 0.0) -> None:
        self.status = status
        self.word = word
        self.seconds = seconds


class Board:
    """All steps in the order in which they were heard of; `fresh` are those that ended, and notes, not yet
    printed for good."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.steps: dict[int, Step] = {}
        self.fresh: list[Step | Note] = []
        self.summaries: list[Summary] = []
        self.tally: Tally | None = None

    def take(self, event: Event, now: float) -> None:
        if isinstance(event, Note):
            self.fresh.append(event)
            return
        if isinstance(event, Summary):
            self.summaries.append(event)
            return
        if isinstance(event, Tally):
            self.tally = event
            return
        step = self._step(event, now)
        if isinstance(event, Output):
            step.hear(event.data)
        elif isinstance(event, Transfer):
            step.transfers[event.what] = (event.done, event.total)
        elif isinstance(event, Cached):
            step.end(Status.CACHED, event.word)
        elif isinstance(event, Done):
            step.end(Status.DONE, "", event.seconds)
        elif isinstance(event, Failed):
            step.end(Status.FAILED, "ERROR", now - step.started)
        if step.status is not Status.RUNNING:
            self.fresh.append(step)

    def running(self) -> list[Step]:
        return [step for step in self.steps.values() if step.status is Status.RUNNING]

    def ended(self) -> int:
        return len(self.steps) - len(self.running())

    def _step(self, event: Started | Cached | Output | Transfer | Done | Failed, now: float) -> Step:
        step = self.steps.get(event.vertex)
        if step is None or (isinstance(event, Started) and step.status is not Status.RUNNING):
            name = one_line(event.name) if isinstance(event, Started | Cached) else f"#{event.vertex}"
            step = Step(name, event.time if isinstance(event, Started) else now)
            self.steps[event.vertex] = step
        return step


def _shown(line: bytes) -> str:
    """What a terminal would show of a line: the text behind the last carriage return."""
    return harmless(line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace").expandtabs(8))
