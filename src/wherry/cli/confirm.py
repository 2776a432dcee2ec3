"""The question before something is deleted."""

from __future__ import annotations

import sys

from wherry.base.errors import WherryError


def confirm(warning: str) -> None:
    """WherryError unless the user says yes, after the warning; the end of the input is a no."""
    print(f"{warning}\n\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # the end of input, where nobody pressed return
        print()
    if answer.strip().lower() not in ("y", "yes"):
        raise WherryError("nothing was removed", hint="answer y, or use -f")
