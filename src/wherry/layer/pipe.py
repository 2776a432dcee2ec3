"""Blocks of a stream between two threads: one works on files, the other hashes and moves the stream.

`hashlib`, `read` and `write` release the interpreter's lock for blocks of this size, so both run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING

from wherry.base.errors import Corrupt
from wherry.oci.digest import sha256

if TYPE_CHECKING:
    from queue import Queue

BLOCK = 1 << 20
"""Bytes that change hands at a time; a queue holds four, so memory stays small whatever the size."""
_DEPTH = 4


class Drain:
    """Hashes the blocks it is given and passes them to `sink`, in order, from one other thread.

    The thread starts with the second block: most layers are smaller than one.
    """

    def __init__(self, sink: Callable[[bytes], object] | None) -> None:
        self._state = _DrainState(sink)
        self._first: bytes | None = None
        self._queue: Queue[bytes | None] | None = None
        self._thread: Thread | None = None

    def put(self, block: bytes) -> None:
        """Takes `block` over; raises what the sink raised for an earlier one."""
        if self._queue is None:
            if self._first is None:
                self._first = block
                return
            from queue import Queue

            self._queue = Queue(_DEPTH)
            self._thread = Thread(target=self._state.run, args=(self._queue,), name="drain", daemon=True)
            self._thread.start()
            self._queue.put(self._first)
            self._first = b""
        if self._state.error:
            raise self._state.error
        self._queue.put(block)

    def finish(self) -> str:
        """Waits until all is hashed and written; the sha256 in hex."""
        if self._queue is None:
            if self._first:
                self._state.take(self._first)
        else:
            self.close()
        if self._state.error:
            raise self._state.error
        return self._state.hash.hexdigest()

    def close(self) -> None:
        """Ends the thread. Blocks that were put are still worked on."""
        if self._thread and self._queue:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def __del__(self) -> None:
        self.close()


class _DrainState:
    """What both threads see; apart from Drain, so that a forgotten Drain can be collected."""

    def __init__(self, sink: Callable[[bytes], object] | None) -> None:
        self.hash = sha256()
        self.sink = sink
        self.error: BaseException | None = None

    def take(self, block: bytes) -> None:
        self.hash.update(block)
        if self.sink:
            self.sink(block)

    def run(self, queue: Queue[bytes | None]) -> None:
        while (block := queue.get()) is not None:
            if self.error:
                continue  # emptied to the end, so that no `put` waits for ever
            try:
                self.take(block)
            except BaseException as error:
                self.error = error


class Ahead:
    """Reads a stream block by block in another thread, hashing it on the way: decompression and the stream's
    digest cost the reader's thread nothing.
    """

    def __init__(self, read: Callable[[int], bytes], most: int) -> None:
        """Corrupt is raised where the stream has more than `most` bytes."""
        self._state = _AheadState(read, most)
        self._ended = False
        self._thread = Thread(target=self._state.run, name="ahead", daemon=True)
        self._thread.start()

    def block(self) -> bytes:
        """The next block; empty at the end. Raises what reading raised."""
        if self._ended:
            return b""
        block = self._state.queue.get()
        if isinstance(block, BaseException):
            self._ended = True
            raise block
        self._ended = not block
        return block

    def finish(self) -> tuple[str, int]:
        """The sha256 (hex) and the size of the whole stream, what was not asked for included."""
        while self.block():
            pass
        self._thread.join()
        return self._state.hash.hexdigest(), self._state.size

    def close(self) -> None:
        """Ends the thread, however far it is."""
        from queue import Empty

        self._state.stopped = True
        while self._thread.is_alive():
            try:
                self._state.queue.get(timeout=0.05)
            except Empty:
                pass

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _AheadState:
    def __init__(self, read: Callable[[int], bytes], most: int) -> None:
        from queue import Queue

        self.read = read
        self.most = most
        self.queue: Queue[bytes | BaseException] = Queue(_DEPTH)
        self.hash = sha256()
        self.size = 0
        self.stopped = False

    def run(self) -> None:
        try:
            while not self.stopped:
                block = self.read(BLOCK)
                self.hash.update(block)
                self.size += len(block)
                if self.size > self.most:
                    # it may be behind the archive's end, where nobody counts entries
                    raise Corrupt(f"a layer's stream has more than {self.most} bytes")
                self._put(block)
                if not block:
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, item: bytes | BaseException) -> None:
        from queue import Full

        while not self.stopped:
            try:
                self.queue.put(item, timeout=0.5)
                return
            except Full:
                pass
