"""What an error shows below its message: the lines of a file with a marker, the last lines of a log.

Both are blocks between rules, as BuildKit prints them, made harmless, without a line end after the last rule.
"""

from __future__ import annotations

from wherry.base.text import clipped, harmless

_CONTEXT = 2
_WIDTH = 200
_RULE = "-" * 20


def excerpt(text: str, start: int, end: int = 0) -> str:
    """Lines `start` to `end` of `text` (from 1, both included) marked with `>>>`, two lines around them.

    "" where the text has no line `start`. A long instruction is shown by its first and last lines.
    """
    lines = text.removesuffix("\n").split("\n") if text else []  # not splitlines: it cuts at form feeds too
    end = min(max(start, end), len(lines))
    if not 1 <= start <= len(lines):
        return ""
    first, last = max(start - _CONTEXT, 1), min(end + _CONTEXT, len(lines))
    numbers = [number for number in range(first, last + 1) if not _hidden(number, start, end)]
    shown = []
    for before, number in zip([first, *numbers], numbers, strict=False):
        if number > before + 1:
            shown.append("     | ...")
        shown.append(_numbered(number, lines[number - 1], start <= number <= end))
    return "\n".join([_RULE, *shown, _RULE])


def tail(output: str, title: str, count: int = 10) -> str:
    """The last `count` lines of a step's output below its name."""
    lines = [line.rsplit("\r", 1)[-1] for line in output.replace("\r\n", "\n").rstrip().split("\n")]
    shown = [clipped(harmless(line), _WIDTH) for line in lines[-count:] if output.strip()]
    if len(lines) > count:
        shown.insert(0, "...")
    return "\n".join([_RULE, f" > {harmless(title)}:", *shown, _RULE])


def _hidden(number: int, start: int, end: int) -> bool:
    """Whether a line lies in the middle of a marked range that is too long to be shown whole."""
    return end - start > 20 and start + 10 <= number <= end - 5


def _numbered(number: int, line: str, marked: bool) -> str:
    text = clipped(harmless(line.expandtabs(4)), _WIDTH)
    return f" {number:3} | {'>>>' if marked else '   '} {text}".rstrip()
