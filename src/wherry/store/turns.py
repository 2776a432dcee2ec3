"""Turns: what several builds want to do at once is done by one of them; the others wait for what it makes.

    tmp/turn-<hex>/      held by a lock while somebody does the work; swept like all that nobody holds
    tmp/turn-<hex>/pid   who that is

Locks are flock(2)'s: a killed process holds none.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.store import Store, remove_tree


@contextmanager
def taken(store: Store, key: Digest, wait: Callable[[int], None] | None) -> Iterator[None]:
    """The turn to do what `key` says, as long as the context lasts.

    While somebody else has it, `wait` is called with his process number, 0 where that is not known: it sleeps
    for a while, or raises. With None there is no waiting: both do it. Nor is there where the disk is full.
    """
    path = store.path("tmp", f"turn-{digests.hex_of(key)}")
    lock = -1
    while lock < 0:
        try:
            lock = _try(path)
        except BlockingIOError:
            if wait is None:
                break
            wait(_holder(path))
        except OSError:
            break
    try:
        yield
    finally:
        if lock >= 0:
            remove_tree(path)
            os.close(lock)


def _try(path: str) -> int:
    """The descriptor that holds the lock, -1 where the folder was removed meanwhile; BlockingIOError where
    somebody else holds it."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(lock, path):
            with open(f"{path}/pid", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return -1


def _is_at(folder: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(folder), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: str) -> int:
    try:
        with open(f"{path}/pid", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
