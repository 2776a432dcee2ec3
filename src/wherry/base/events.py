"""What happens during a build, a pull or a push, as values.

The code that works emits them through a callable, `Emit`; `ui/` turns them into text. `Emit` is called
from several threads. `vertex` is a small number that names one line of work, as in BuildKit's `#5`; `time` is
`time.monotonic()` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple


class Started(NamedTuple):
    """Work on `vertex` begins. `name` is what a user sees: `[builder 2/5] RUN make`."""

    vertex: int
    name: str
    time: float


class Cached(NamedTuple):
    """`vertex` needs no work; `word` is CACHED (REUSED once results move between parents)."""

    vertex: int
    name: str
    word: str = "CACHED"
    reason: str = ""


class Output(NamedTuple):
    """Bytes that the process of `vertex` wrote; not cut at line ends."""

    vertex: int
    stream: int
    data: bytes
    time: float


class Transfer(NamedTuple):
    """Progress of one blob: `done` of `total` bytes (0: not known)."""

    vertex: int
    what: str
    done: int
    total: int


class Done(NamedTuple):
    vertex: int
    seconds: float


class Failed(NamedTuple):
    vertex: int
    message: str


class Note(NamedTuple):
    """A line for the user that belongs to no vertex: `level` is `info` or `warning`."""

    level: str
    text: str


class Summary(NamedTuple):
    """Lines that stand below all else when the work is over, whatever came of it."""

    lines: tuple[str, ...]


class Tally(NamedTuple):
    """A build in sum: of its `steps`, how many were `reused` and how many `executed`; `failed` is 0 or 1.

    `seconds` is what it took, `saved` what making the results took that were reused.
    """

    steps: int
    reused: int
    executed: int
    failed: int
    seconds: float
    saved: float


Event = Started | Cached | Output | Transfer | Done | Failed | Note | Summary | Tally
Emit = Callable[[Event], None]


@contextmanager
def vertex(emit: Emit, number: int, name: str) -> Iterator[None]:
    """One line of work, told from its beginning to its end: done, or failed where it raises WherryError."""
    began = time.monotonic()
    emit(Started(number, name, began))
    try:
        yield
    except WherryError as error:
        emit(Failed(number, error.message))
        raise
    emit(Done(number, time.monotonic() - began))


def ignore(_event: Event) -> None:
    """An `Emit` for callers who want no progress."""
