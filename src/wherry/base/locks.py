"""Locks on folders: flock(2)'s, which hold between processes, and of which a killed process has none."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(folder: str, *, shared: bool = False) -> Iterator[None]:
    """The lock of a folder, alone or with others who share it; waits for it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
