"""A file to read, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import WherryError

STDIN = "-"


@contextmanager
def opened(path: str, command: str) -> Iterator[BinaryIO]:
    """The bytes of the file `path`; of standard input where it is `-`, unless that is a terminal."""
    if path == STDIN:
        if sys.stdin.isatty():
            raise WherryError(
                f"nothing to {command}: standard input is a terminal", hint="name a file, or redirect one"
            )
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise WherryError(f"cannot read {path}: {error.strerror}") from None
    with file:
        yield file
