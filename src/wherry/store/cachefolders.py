"""Folders that steps keep for the steps of later builds (`RUN --mount=type=cache`).

    cache-mounts/<name>/<number>/       what is mounted: 0, and further ones for those who share with nobody
    cache-mounts/<name>/<number>.lock   held by users: shared, or exclusive
    cache-mounts/<name>/lock            held while a folder is made

Locks are flock(2)'s: they hold between processes, and a killed one holds none.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.store.deleting import discard
from wherry.store.store import Store

SHARED, PRIVATE, LOCKED = "shared", "private", "locked"

_PATIENCE = 0.05
"""Seconds between two attempts to get a lock."""


class CacheFolder(NamedTuple):
    name: str
    used: float
    """Unix seconds, of its last use."""


class CacheFolders:
    """The cache folders of a store. Who uses or deletes them holds the store's lease, or is alone in it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = store.path("cache-mounts")

    @contextmanager
    def use(
        self, name: str, sharing: str, make: Callable[[str], None], wait: Callable[[float], None]
    ) -> Iterator[str]:
        """The folder `name`, as long as the context lasts.

        `shared` is used by any number at once, `locked` by one after the other, and `private` gives each of
        those who are there at once a folder of his own. `make` makes a new one at the path that it is given.
        `wait` is called, with seconds to sleep, as long as others hold the folder; it may raise.
        """
        with self._converted(name):
            os.makedirs(f"{self._root}/{name}", mode=0o700, exist_ok=True)
            lock, number = self._lock(name, sharing, wait)
        try:
            path = f"{self._root}/{name}/{number}"
            with self._converted(name):
                self._ensure(name, path, make)
                os.utime(lock)
            yield path
        finally:
            os.close(lock)

    def all(self) -> list[CacheFolder]:
        """Sorted by name."""
        return [CacheFolder(name, self._used(name)) for name in _names(self._root)]

    def path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def delete(self, name: str) -> int:
        """Delete it whole or not at all; the bytes on disk that became free."""
        return discard(self._store, self.path(name))

    def _used(self, name: str) -> float:
        locks = [entry for entry in _names(self.path(name)) if entry.endswith(".lock")]
        return max((os.stat(f"{self.path(name)}/{entry}").st_mtime for entry in locks), default=0.0)

    def _lock(self, name: str, sharing: str, wait: Callable[[float], None]) -> tuple[int, int]:
        """The descriptor that holds the lock, and the number of the folder."""
        if sharing == PRIVATE:
            for number in itertools.count():
                lock = self._open(f"{name}/{number}.lock")
                if _try(lock, fcntl.LOCK_EX):
                    return lock, number
                os.close(lock)
        lock = self._open(f"{name}/0.lock")
        try:
            while not _try(lock, fcntl.LOCK_EX if sharing == LOCKED else fcntl.LOCK_SH):
                wait(_PATIENCE)
        except BaseException:
            os.close(lock)
            raise
        return lock, 0

    def _ensure(self, name: str, path: str, make: Callable[[str], None]) -> None:
        making = self._open(f"{name}/lock")
        try:
            fcntl.flock(making, fcntl.LOCK_EX)
            if not os.path.isdir(path):
                with self._store.scratch("cache") as scratch:
                    make(f"{scratch}/new")
                    os.rename(f"{scratch}/new", path)
        finally:
            os.close(making)

    def _open(self, name: str) -> int:
        return os.open(f"{self._root}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _converted(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WherryError(f"cannot use the cache folder {self.path(name)}: {error.strerror}") from None


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
