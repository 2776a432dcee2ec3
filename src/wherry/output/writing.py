"""What cannot be written where the user wants it, in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError


@contextmanager
def writing(place: str) -> Iterator[None]:
    """What fails within is told of `place`. BrokenPipeError passes: nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WherryError(f"cannot write {place}: {error.strerror or error}") from None


def aside(path: str) -> str:
    """Where what is to come to `path` is written first, by a mode that makes a file (`x`).

    The folder may be a stranger's, with links at all names that can be guessed.
    """
    return f"{path}.{os.getpid()}-{os.urandom(8).hex()}.new"
