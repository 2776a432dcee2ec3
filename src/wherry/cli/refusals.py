"""The exit codes of commands that execute something: its own, or docker's where it did not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.base.errors import WherryError

_REFUSED = 125


@contextmanager
def told_apart() -> Iterator[None]:
    """An error's exit code is 126 or 127 where the command is to blame, and 125 for all else."""
    try:
        yield
    except WherryError as error:
        if error.exit_code not in (126, 127):
            error.exit_code = _REFUSED
        raise
