"""How events (base/events.py) become what a user sees: `plain`, `tty`, `rawjson` or `quiet`.

    with display("auto", sys.stderr) as emit:
        ...  # emit may be called from any thread

`auto` is `tty` on a terminal that can move its cursor, else `plain`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from wherry.base.errors import UsageError
from wherry.base.events import Emit, ignore
from wherry.ui import terminal

MODES = ("auto", "tty", "plain", "rawjson", "quiet")


def display(mode: str, stream: TextIO, title: str = "Building") -> AbstractContextManager[Emit]:
    """A view on `stream` for as long as the context lasts. `title` begins the total line of `tty`.

    `tty` on what is no terminal is refused with UsageError, as docker does.
    """
    if mode not in MODES:
        raise UsageError(f"invalid progress mode {mode!r}", hint=f"the modes are {', '.join(MODES)}")
    if mode == "auto":
        mode = "tty" if terminal.interactive(stream) else "plain"
    if mode == "quiet":
        return nullcontext(ignore)
    if mode == "rawjson":
        from wherry.ui.rawjson import RawJson

        return RawJson(stream)
    if mode == "plain":
        from wherry.ui.plain import Plain

        return Plain(stream)
    if not terminal.interactive(stream):
        raise UsageError("progress mode 'tty' needs a terminal", hint="use --progress=plain")
    from wherry.ui.tty import Tty

    return Tty(stream, title)
