"""What a build fetches: repositories and the files of URLs, each asked for once and fetched at most once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wherry.base.errors import Location, Unsupported
from wherry.base.events import Emit
from wherry.build.files import Files
from wherry.build.sources import Wish
from wherry.store.store import Store


class Fetcher:
    def __init__(self, store: Store, emit: Emit) -> None:
        self._store = store
        self._emit = emit

    def identity(self, wish: Wish) -> str | None:
        raise Unsupported(f"{wish.text} cannot be fetched by this version")

    def look_up(self, wishes: Mapping[Wish, Location | None]) -> None:
        for wish in wishes:
            self.identity(wish)

    @contextmanager
    def files(self, wish: Wish, vertex: int) -> Iterator[Files]:
        raise Unsupported(f"{wish.text} cannot be fetched by this version")
        yield

    def close(self) -> None:
        pass
