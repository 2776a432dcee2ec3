"""Text from outside, made fit to be shown: a terminal obeys control characters, so none may reach it."""

from __future__ import annotations

import re


def harmless(text: str) -> str:
    """`text` without escape sequences and control characters; line ends and tabs stay.

    Marks that turn the direction of writing are left out too (they can make source read as something
    else), and bytes that were no UTF-8 (surrogate escapes) are written as `\\xNN`.
    """
    if text.isprintable():
        return text
    text = re.sub(_SEQUENCES, "", text)
    text = re.sub(_CONTROLS, "", text)
    return re.sub("[\ud800-\udfff]", _escaped, text)


def one_line(text: str) -> str:
    """`harmless(text)` with every run of white space that holds a line end or a tab made one space."""
    return re.sub(r"\s*[\n\t]\s*", " ", harmless(text)).strip()


def clipped(text: str, width: int) -> str:
    """At most `width` characters; what is cut ends in an ellipsis."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"[:width]


def counted(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


# ECMA-48: control sequences, then strings (title, clipboard, device control) up to their end, then the rest.
_SEQUENCES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
