"""Where an export is written: a file that appears when it is whole, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.output.writing import writing

STDOUT = "-"


class Sink:
    """Takes what is written; a failure names the file. BrokenPipeError passes: nobody reads any more."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, data: bytes) -> None:
        with writing(self._name):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def flush(self) -> None:
        with writing(self._name):
            self._file.flush()

    def finish(self) -> None:
        """What was written is what there is from now on."""
        self.flush()


class _Beside(Sink):
    """A file that is written beside its place, and renamed to it in the end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._unfinished = f"{os.path.dirname(path)}/.{os.path.basename(path)[:200]}.{os.getpid()}.new"
        with writing(path):
            descriptor = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        super().__init__(open(descriptor, "wb"), path)  # noqa: SIM115 - closed by `close`

    def finish(self) -> None:
        with writing(self._path):
            self._file.close()
            os.rename(self._unfinished, self._path)

    def close(self) -> None:
        with writing(self._path):
            try:
                self._file.close()
            finally:
                try:
                    os.unlink(self._unfinished)
                except FileNotFoundError:
                    pass


def check(path: str) -> None:
    """WherryError for what `target` would refuse, as far as it can be told now."""
    if path == STDOUT:
        _standard_output()
    elif os.path.isdir(path):
        raise _is_folder(path)
    elif not os.path.isdir(folder := os.path.dirname(os.path.realpath(path))):
        raise WherryError(f"cannot write {path}: there is no folder {folder}")


@contextmanager
def target(path: str) -> Iterator[Sink]:
    """A sink for `path`, or for standard output where it is `-`; a terminal is refused.

    A regular file is written beside its place and renamed by `finish`: until then, and for good where nobody
    calls it, what was there stays whole. Devices and pipes are written as they are.
    """
    if path == STDOUT:
        yield _standard_output()
    elif os.path.exists(path) and not os.path.isfile(path):
        yield from _special(path)
    else:
        beside = _Beside(os.path.realpath(path))
        try:
            yield beside
        finally:
            beside.close()


def _standard_output() -> Sink:
    if sys.stdout.isatty():
        raise WherryError(
            "refusing to write an archive to a terminal", hint="name a file with -o, or redirect it"
        )
    sys.stdout.flush()
    # Unbuffered: what nobody reads must not keep the process from its end.
    return Sink(getattr(sys.stdout.buffer, "raw", sys.stdout.buffer), "standard output")


def _special(path: str) -> Iterator[Sink]:
    if os.path.isdir(path):
        raise _is_folder(path)
    with writing(path):
        file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed below
    try:
        yield Sink(file, path)
    finally:
        with writing(path):
            file.close()


def _is_folder(path: str) -> WherryError:
    return WherryError(f"cannot write an archive to {path}: it is a folder")
