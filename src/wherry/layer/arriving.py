"""A blob that is read while somebody else still writes it: so a layer is unpacked as it is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Condition, Thread
from typing import BinaryIO, cast

from wherry.base.errors import WherryError
from wherry.layer.reading import Reading


class Arriving(Reading):
    """The file at `path` from its start: reading waits for what `grown` has not told of yet."""

    def __init__(self, path: str, size: int) -> None:
        """`size` is that of the whole file: there the stream ends."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = size
        self._there = 0
        self._position = 0
        self._given_up = False
        self._changed = Condition()

    def grown(self, there: int) -> None:
        """The file has `there` bytes now."""
        with self._changed:
            self._there = there
            self._changed.notify()

    def give_up(self) -> None:
        """No more will come. Reading what is not there fails from now on."""
        with self._changed:
            self._given_up = True
            self._changed.notify()

    def _some(self, size: int) -> bytes:
        wanted = min(size, self._size - self._position)
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._there > self._position or not wanted)
            if self._given_up:
                raise GivenUp("it was not received as a whole")
            there = self._there
        data = os.pread(self._descriptor, min(wanted, there - self._position), self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class GivenUp(WherryError):
    """The writer of the file has stopped. It knows why."""


class Reader:
    """Calls `read` with the arriving file, in a thread of its own; to be used in a `with` block.

    Leaving the block before `finish` gives the file up.
    """

    def __init__(self, path: str, size: int, read: Callable[[BinaryIO], object]) -> None:
        self._file = Arriving(path, size)
        self._read = read
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="arriving", daemon=True)
        self._thread.start()

    def grown(self, there: int) -> None:
        self._file.grown(there)

    def finish(self) -> None:
        """Waits until all is read; raises what reading raised."""
        self._thread.join()
        if self._error:
            raise self._error

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.give_up()
        self._thread.join()

    def _run(self) -> None:
        try:
            with cast(BinaryIO, self._file) as file:
                self._read(file)
        except BaseException as error:
            self._error = error
