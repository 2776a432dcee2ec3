"""The error of a command line that cannot be read."""

from __future__ import annotations

from wherry.base.errors import WherryError


class Misuse(WherryError):
    """`message` is the whole text to print, in docker's words; the exit code is docker's too."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
