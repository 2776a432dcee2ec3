"""What the commands for tools share: the files they read, and errors in the form that programs look for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from wherry.base.errors import NotFound, WherryError

_LIMIT = 64 * 1024 * 1024


def read(path: str) -> bytes:
    """The file `path`, or standard input for "-"; 64 MiB at most."""
    if path == "-":
        return _small(sys.stdin.buffer.read(_LIMIT + 1), "standard input")
    try:
        with open(path, "rb") as file:
            return _small(file.read(_LIMIT + 1), repr(path))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path!r}") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise WherryError(f"cannot read {path!r}: {getattr(error, 'strerror', error)}") from None


def _small(data: bytes, name: str) -> bytes:
    if len(data) > _LIMIT:
        raise WherryError(f"{name} has more than {_LIMIT >> 20} MiB")
    return data


def write_lines(lines: Iterable[str]) -> None:
    """Prints what came from the command line byte for byte, text or not."""
    sys.stdout.buffer.write(b"".join(os.fsencode(f"{line}\n") for line in lines))


def complain(error: WherryError) -> int:
    """Prints `FILE:LINE: message` on stderr, the source lines and the hint below it; the exit code."""
    from wherry.ui import errors, terminal

    print(errors.located(error, terminal.colors(sys.stderr)), file=sys.stderr)
    return error.exit_code
