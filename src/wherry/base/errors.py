"""The only exceptions that reach a user: one message, where it happened, why, and a hint.

Every module raises `WherryError` or a subclass for what a user can cause; `cli/main.py` prints it and
exits with `exit_code`. Anything else that escapes is a bug in wherry.
"""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class Location(NamedTuple):
    """A place in a text file: `line` and `end_line` count from 1, both included."""

    file: str
    line: int
    end_line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class WherryError(Exception):
    """Something a user can understand and act on.

    `message` is one sentence without a final full stop; `hint` says what to try, one thing a line;
    `where` is the place in the user's file; `excerpt` is text to show below the message (source lines
    with a marker, the last lines of a log), shown as it is.
    """

    exit_code = 1
    kept = ""
    """The ID under which the state of a failed step is kept (`wherry debug`)."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        where: Location | None = None,
        excerpt: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.excerpt = excerpt

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def reason(error: BaseException) -> str:
    """The sentence of an error, without its place."""
    return error.message if isinstance(error, WherryError) else str(error)


class UsageError(WherryError):
    """Wrong words on the command line (docker exits with 125 for these)."""

    exit_code = 125


class NotFound(WherryError):
    """A name, a digest, a file or a container that does not exist."""


class Unsupported(WherryError):
    """Understood, and not done by this version or in this mode; the message names the option."""


class Corrupt(WherryError):
    """Bytes that are not what their digest or their format says."""


class Denied(WherryError):
    """A registry or the machine refused: credentials or rights are missing."""
