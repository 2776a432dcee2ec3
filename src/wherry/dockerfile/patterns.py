"""Shell patterns of `${x#p}` and its kin: `*`, `?` and backslash escapes, nothing else.

A pattern is kept as the pieces between its stars. Each piece but the last is matched where it first
fits and never tried elsewhere, which finds the same match as backtracking would, in linear time.
"""

from __future__ import annotations

import re

from wherry.dockerfile.errors import WordError

Piece = tuple[str, ...]  # characters; "" stands for any one character


def remove_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """`${value#pattern}`, or `${value##pattern}` for the longest match."""
    match = _compile(_pieces(pattern), longest=longest).match(value)
    return value[match.end() :] if match else value


def remove_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """`${value%pattern}`, or `${value%%pattern}` for the longest match."""
    backwards = [piece[::-1] for piece in reversed(_pieces(pattern))]
    match = _compile(backwards, longest=longest).match(value[::-1])
    return value[: len(value) - match.end()] if match else value


def replace(value: str, pattern: str, replacement: str, *, every: bool) -> str:
    """`${value/pattern/replacement}`, or `${value//pattern/replacement}` for every match."""
    pieces = _pieces(pattern)
    first = re.compile(_regex(pieces[0]), re.DOTALL)
    rest = _compile([(), *pieces[1:]], longest=True) if len(pieces) > 1 else None
    parts: list[str] = []
    copied = position = 0
    while position <= len(value):
        found = first.search(value, position)
        tail = rest.match(value, found.end()) if found and rest else found
        if found is None or tail is None:
            break  # where the rest does not fit after the first fit, it fits after no later one
        start, end = found.start(), tail.end()
        parts.append(value[copied:start])
        # As Go's ReplaceAll: an empty match right after another match is none.
        if end > copied or start == 0:
            parts.append(replacement)
        copied = end
        if not every:
            break
        position = max(end, position + 1)
    return "".join(parts) + value[copied:]


def _pieces(pattern: str) -> list[Piece]:
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for char in characters:
        if char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append("")
        elif char == "\\":
            pieces[-1].append(_escaped(next(characters, ""), pattern))
        else:
            pieces[-1].append(char)
    return [tuple(piece) for piece in pieces]


def _escaped(char: str, pattern: str) -> str:
    """`}` and `/` have to be escaped inside `${}`; the others are escaped to lose their meaning."""
    if not char or char not in "}/*?\\":
        raise WordError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{char}'")
    return char


def _regex(piece: Piece) -> str:
    return "".join(re.escape(char) if char else "." for char in piece)


def _compile(pieces: list[Piece], *, longest: bool) -> re.Pattern[str]:
    first, *others = (_regex(piece) for piece in pieces)
    if others and longest:
        last = others.pop()
        tail = f".*{last}"
    else:
        tail = ""
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in others) + tail, re.DOTALL)
