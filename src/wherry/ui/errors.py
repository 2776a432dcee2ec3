"""Errors as a user sees them: what went wrong, where, the lines in question, what to try.

error: process "/bin/sh -c false" did not complete successfully: exit code: 1
  --> Dockerfile:4
--------------------
   3 |     COPY . .
   4 | >>> RUN false
--------------------
hint: ...
"""

from __future__ import annotations

from wherry.base.errors import WherryError
from wherry.base.text import harmless, one_line

_RED = "\x1b[1;31m"
_CYAN = "\x1b[36m"
_BOLD = "\x1b[1m"
_RULE = "-" * 20
_RESET = "\x1b[0m"


def render(error: Exception, color: bool) -> str:
    """The text for `error`, without a line end behind the last line."""
    if isinstance(error, WherryError):
        return _wherry_error(error, color)
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return _message(": ".join([error.strerror, *names]), color)
    text = _message(f"wherry has a bug: {type(error).__name__}: {error}", color)
    return f"{text}\n{_hint('run the same command as `wherry --debug ...` and report what it prints', color)}"


def located(error: WherryError, color: bool) -> str:
    """The same with `FILE:LINE: message` as its first line, which editors and other tools understand."""
    return "\n".join([one_line(str(error)), *_details(error, color)])


def _wherry_error(error: WherryError, color: bool) -> str:
    parts = [_message(error.message, color)]
    if error.where:
        parts.append(f"  {_painted('-->', _CYAN, color)} {harmless(str(error.where))}")
    return "\n".join([*parts, *_details(error, color)])


def _details(error: WherryError, color: bool) -> list[str]:
    parts = []
    if error.excerpt:
        lines = harmless(error.excerpt).rstrip("\n").split("\n")
        parts += [_RULE, *(_excerpt_line(line, color) for line in lines), _RULE]
    if error.hint:
        parts.append(_hint(error.hint, color))
    return parts


def _message(text: str, color: bool) -> str:
    return f"{_painted('error:', _RED, color)} {harmless(text)}"


def _hint(text: str, color: bool) -> str:
    """One line for each line of `text`."""
    return "\n".join(f"{_painted('hint:', _CYAN, color)} {harmless(line)}" for line in text.split("\n"))


def _excerpt_line(line: str, color: bool) -> str:
    return _painted(line, _BOLD, color and " | >>> " in line[:12])


def _painted(text: str, code: str, color: bool) -> str:
    return f"{code}{text}{_RESET}" if color else text
