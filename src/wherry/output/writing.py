"""What cannot be written where the user wants it, in words."""

from __future__ import annotations

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
