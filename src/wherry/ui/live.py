"""The part of a terminal that is drawn again and again, by rich; imported once there is something to draw."""

from __future__ import annotations

from typing import TextIO

import rich.live
from rich.console import Console, Group, OverflowMethod
from rich.text import Text

from wherry.ui.layout import Line


class Live:
    """The cursor is hidden until `close`; then the live lines are gone and the others left."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=False)
        self._live = rich.live.Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def draw(self, lasting: list[Line], live: list[Line]) -> None:
        if lasting:
            # A long note is left whole: the terminal wraps it.
            self._console.print(_group(lasting, "ignore"), no_wrap=True, overflow="ignore", crop=False)
        self._live.update(_group(live, "crop"), refresh=True)


def _group(lines: list[Line], overflow: OverflowMethod) -> Group:
    return Group(*(Text(line.text, line.style, no_wrap=True, overflow=overflow) for line in lines))
