"""Where an image is read: its mirrors in their order, then the registry itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import TypeVar

from wherry.base.errors import NotFound, WherryError
from wherry.base.events import Emit, Note
from wherry.registry.place import FAILURES, Place

Answer = TypeVar("Answer")


class Places:
    """Places to read from, and the last one to push to; used by several threads at once.

    All ask the same place. Where that fails the next one takes over, for all that is asked from then on: what
    has a digest is the same everywhere, and a name is looked up once.
    """

    def __init__(self, places: Sequence[Place], emit: Emit) -> None:
        self._places = tuple(places)
        self._emit = emit
        self._at = 0
        self._told: set[int] = set()
        self._lock = Lock()

    @property
    def home(self) -> Place:
        """The registry itself, whose lists are whole and which takes what is pushed."""
        return self._places[-1]

    @property
    def at(self) -> int:
        """The number of the place that is asked at the moment."""
        return self._at

    def distrust(self, at: int, error: WherryError) -> bool:
        """Go on to the place behind number `at`, whose answer proved wrong; False where there is none."""
        if at == len(self._places) - 1:
            return False
        self._pass_over(at, error)
        return True

    def first(self, ask: Callable[[Place], Answer]) -> Answer:
        """The answer of the first place that gives one; the last place's error where none does."""
        while True:
            at = self._at
            try:
                answer = ask(self._places[at])
                self._tell(at)
                return answer
            except FAILURES as error:
                self._pass_over(at, error)

    def stream(self, ask: Callable[[Place, int], Iterator[bytes]], start: int) -> Iterator[bytes]:
        """The bytes that a place gives from `start` on; where it fails, the next one's there."""
        received = start
        while True:
            at = self._at
            try:
                for data in ask(self._places[at], received):
                    received += len(data)
                    yield data
                return
            except FAILURES as error:
                self._pass_over(at, error)

    def _tell(self, at: int) -> None:
        """Say once that number `at` is not where the name points to."""
        with self._lock:
            news = at not in self._told
            self._told.add(at)
        place = self._places[at]
        if news and place.reference != place.named:
            self._emit(Note("info", f"{place.shown()} comes from {place.reference.familiar} ({place.file})"))

    def _pass_over(self, at: int, error: WherryError) -> None:
        """Go on to the place behind number `at`; raises `error` where there is none."""
        if at == len(self._places) - 1:
            raise error
        with self._lock:
            if self._at > at:
                return  # another thread has found out before
            self._at = at + 1
        level = "info" if isinstance(error, NotFound) else "warning"
        self._emit(Note(level, f"the mirror {self._places[at].registry} is passed over: {error.message}"))

    def close(self) -> None:
        for place in self._places:
            place.close()
