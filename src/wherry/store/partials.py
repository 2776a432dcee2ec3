"""Blobs on their way in: `blobs/partial/<hex>`, kept when the way breaks off, for whoever comes next.

Who writes one holds flock(2)'s lock on it, so two pulls of one blob never write one file, and the lock of one
that was killed is gone with it. What a file has is not believed: it gets its name as a blob only when all of
it has the digest. `prune` deletes what is here, alone in the store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.errors import Corrupt, WherryError
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.blobs import Blobs

WORTH_KEEPING = 1 << 20
"""Bytes: less than that is fetched again as fast as it is looked at."""
_BLOCK = 1 << 20
_PATIENCE = 0.05
"""Seconds between two looks at a lock that somebody else has."""


class Partials:
    def __init__(self, folder: str, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    @contextmanager
    def open(self, digest: Digest, waiting: Callable[[], None] = lambda: None) -> Iterator[Partial | None]:
        """The blob as far as it is here, for its one writer; None where it is in the store as a whole.

        `waiting` is called again and again while another one writes it; what it raises ends the wait.
        """
        path = f"{self._folder}/{digests.hex_of(digest)}"
        try:
            descriptor = _locked(path, waiting)
        except OSError as error:
            raise _unwritable(error) from None
        partial = Partial(path, descriptor, digest, self._blobs)
        try:
            if self._blobs.has(digest):
                partial.drop()
                yield None
            else:
                yield partial
        finally:
            partial.close()

    def paths(self) -> list[str]:
        try:
            return [f"{self._folder}/{name}" for name in os.listdir(self._folder)]
        except FileNotFoundError:
            return []

    def delete(self, until: float | None = None) -> int:
        """Delete all that were not written to after `until` (unix seconds); the bytes on disk that became
        free. To be called by who is alone in the store."""
        size = 0
        for path in self.paths():
            status = os.stat(path)
            if until is None or status.st_mtime <= until:
                os.unlink(path)
                size += status.st_blocks * 512
        return size


class Partial:
    """A blob's first `size` bytes, and its end to write to, by one thread; `path` may be read meanwhile."""

    def __init__(self, path: str, descriptor: int, digest: Digest, blobs: Blobs) -> None:
        self.path = path
        self._descriptor = descriptor
        self._digest = digest
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self._keep = True
        self._committed = False
        self.size = 0

    def take_up(self, most: int) -> int:
        """Go on behind what an earlier one left, `most` bytes at most: how many there are."""
        if os.fstat(self._descriptor).st_size > most:
            self.restart()
        while data := os.read(self._descriptor, _BLOCK):
            self._hash.update(data)
            self.size += len(data)
        return self.size

    def restart(self) -> None:
        """Forget all that is here."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._keep = False  # what fills a disk is not to stay on it
            raise _unwritable(error) from None
        self._hash.update(data)
        self.size += len(data)

    def check(self) -> None:
        """Corrupt where what is here is not the blob. It is not kept then."""
        digest = digests.from_hex(self._hash.hexdigest())
        if digest != self._digest:
            self._keep = False
            raise Corrupt(f"content has digest {digest}, not {self._digest} as was promised")

    def commit(self) -> None:
        """Give the blob its name, once it has been checked."""
        self.check()
        try:
            os.fdatasync(self._descriptor)
            os.rename(self.path, self._blobs.path(self._digest))
        except OSError as error:
            raise _unwritable(error) from None
        self._committed = True

    def drop(self) -> None:
        """Not to be kept."""
        self._keep = False

    def close(self) -> None:
        """Whatever was not committed stays, if it is worth it. The name is ours as long as the lock is."""
        kept = self._keep and os.fstat(self._descriptor).st_size >= WORTH_KEEPING
        if not self._committed and not kept:
            os.unlink(self.path)
        os.close(self._descriptor)


def _locked(path: str, waiting: Callable[[], None]) -> int:
    """The file, made if need be, and locked."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _lock(descriptor):
                waiting()
                time.sleep(_PATIENCE)
            if _is(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Who had the lock has finished the blob, or given it up: the file is not there any more.
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unwritable(error: OSError) -> WherryError:
    return WherryError(f"cannot write to the store: {error.strerror}")
