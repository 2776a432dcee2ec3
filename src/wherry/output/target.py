"""Where an export is written: a file that appears when it is whole, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError

STDOUT = "-"


class Sink:
    """Takes what is written; a failure names the file. BrokenPipeError passes: nobody reads any more."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, data: bytes) -> None:
        with _named(self._name):
            self._file.write(data)

    def flush(self) -> None:
        with _named(self._name):
            self._file.flush()


@contextmanager
def target(path: str) -> Iterator[Sink]:
    """A sink for `path`, or for standard output where it is `-`; a terminal is refused.

    A regular file is written beside its place and renamed when the block ends well, so that what was there
    stays whole until then. Devices and pipes are written as they are.
    """
    if path == STDOUT:
        if sys.stdout.isatty():
            raise WherryError(
                "refusing to write an archive to a terminal", hint="name a file with -o, or redirect it"
            )
        sys.stdout.flush()
        sink = Sink(sys.stdout.buffer, "standard output")
        yield sink
        sink.flush()
    elif os.path.exists(path) and not os.path.isfile(path):
        yield from _special(path)
    else:
        yield from _beside(os.path.realpath(path))


def _beside(path: str) -> Iterator[Sink]:
    unfinished = f"{os.path.dirname(path)}/.{os.path.basename(path)[:200]}.{os.getpid()}.new"
    with _named(path):
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield from _closed(open(descriptor, "wb"), path)  # noqa: SIM115 - closed there
        with _named(path):
            os.rename(unfinished, path)
    finally:
        try:
            os.unlink(unfinished)
        except FileNotFoundError:
            pass


def _special(path: str) -> Iterator[Sink]:
    if os.path.isdir(path):
        raise WherryError(f"cannot write an archive to {path}: it is a folder")
    with _named(path):
        file = open(path, "wb")  # noqa: SIM115 - closed below
    yield from _closed(file, path)


def _closed(file: BinaryIO, path: str) -> Iterator[Sink]:
    """A sink for `file`, which is closed after it: that writes what is still buffered, so it may fail too."""
    sink = Sink(file, path)
    try:
        yield sink
        sink.flush()
    finally:
        with _named(path):
            file.close()


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WherryError(f"cannot write {name}: {error.strerror or error}") from None
