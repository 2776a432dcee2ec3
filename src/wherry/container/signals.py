"""Signals by name or number, as STOPSIGNAL and `--signal` write them."""

from __future__ import annotations

import re
import signal

from wherry.base.errors import UsageError

DEFAULT_STOP = signal.SIGTERM


def number_of(text: str) -> int:
    """`SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; SIGTERM for an empty text."""
    if not text:
        return DEFAULT_STOP
    if text.isascii() and text.isdigit() and 0 < int(text) <= signal.SIGRTMAX:
        return int(text)
    name = text.upper().removeprefix("SIG")
    if match := re.fullmatch(r"(RTMIN|RTMAX)(?:([+-])([0-9]{1,2}))?", name):
        base = signal.SIGRTMIN if match[1] == "RTMIN" else signal.SIGRTMAX
        value = base + int(f"{match[2] or '+'}{match[3] or 0}")
        if signal.SIGRTMIN <= value <= signal.SIGRTMAX:
            return value
    elif f"SIG{name}" in signal.Signals.__members__:
        return signal.Signals[f"SIG{name}"]
    raise UsageError(f"invalid signal: {text}", hint="write a name such as SIGTERM, or a number")


_ENDING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def asks_to_end(number: int, stop_signal: str) -> bool:
    """Whether who sends this signal wants the container to end, and not to be started again by its policy."""
    return number in _ENDING or number == number_of(stop_signal)
