"""Commands that do the same to several things go on after an error, as docker's do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from wherry.base.errors import NotFound, WherryError
from wherry.ui import errors, terminal


def each(names: Iterable[str], action: Callable[[str], object], forgive_missing: bool = False) -> int:
    """Calls `action` with each name; prints its errors; the exit code, 1 after any error.

    With `forgive_missing` (docker's `-f`) names that there are not are told, and are no failure.
    """
    code = 0
    for name in names:
        try:
            action(name)
        except WherryError as error:
            sys.stdout.flush()
            print(errors.render(error, terminal.colors(sys.stderr)), file=sys.stderr)
            if not (forgive_missing and isinstance(error, NotFound)):
                code = 1
    return code
