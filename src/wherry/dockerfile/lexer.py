"""Lines and words: how a Dockerfile's text falls apart before any instruction gives it a meaning.

The rules are those of BuildKit's frontend (`frontend/dockerfile/parser`), with three differences:
a line may be longer than 64 KiB, a flag is read as characters where BuildKit takes its bytes for
Latin-1, and text that is not UTF-8 keeps its bytes (`surrogateescape`).
Every function takes time linear in what it is given.
"""

from __future__ import annotations

import re

from wherry.base.tuples import NamedTuple

# Go's unicode.IsSpace; Python's str.isspace() would add U+001C..U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

# Patterns that not every file needs are strings here and in the other modules: `re` compiles them at
# their first use and keeps them, and a build with nothing to do does not pay for the others.
_BLANKS = re.compile(r"[\t\v\f\r ]+")


class Statement(NamedTuple):
    """One instruction's line with its continuations joined; `end` is the line after its last, from 0."""

    text: str
    end: int
    blank_lines: tuple[int, ...]


def decode(text: bytes | str) -> str:
    """Text without its byte order mark."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return text.removeprefix("\ufeff")


def split_lines(text: str) -> list[str]:
    """Lines without their newline; a newline at the end begins no further line."""
    return text.removesuffix("\n").split("\n") if text else []


def is_comment(line: str) -> bool:
    return line.lstrip(SPACE).startswith("#")


def statement(lines: list[str], start: int, escape: str) -> Statement:
    """The statement that starts at `lines[start]`, which is neither blank nor a comment.

    Comments between continued lines are dropped, and so are blank lines, which BuildKit deprecates.
    Continuation lines keep their leading white space; only the first loses it.
    """
    text, continued = _continuation(lines[start].rstrip("\r").lstrip(SPACE), escape)
    parts, blank, end = [text], [], start + 1
    while continued and end < len(lines):
        line = lines[end].rstrip("\r")
        end += 1
        if is_comment(line):
            continue
        if not line.strip(SPACE):
            blank.append(end)
            continue
        text, continued = _continuation(line, escape)
        parts.append(text)
    return Statement("".join(parts), end, tuple(blank))


def _continuation(line: str, escape: str) -> tuple[str, bool]:
    """The line without the escape that continues it; an escape that is itself escaped does not."""
    body = line.rstrip(" \t")
    if body.endswith(escape) and body[-2:-1] != escape:
        return body[:-1], True
    return line, False


def split_command(text: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """`RUN --network=none make all` as ("RUN", ("--network=none",), "make all")."""
    parts = _BLANKS.split(text.strip(SPACE), maxsplit=1)
    if len(parts) == 1:
        return parts[0], (), ""
    flags, rest = _flags(parts[1], escape)
    return parts[0], flags, rest.strip(SPACE)


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The leading words that start with `--`, quotes and escapes resolved, and what follows them.

    A word `--` alone ends them and belongs to neither.
    """
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in SPACE:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        word, quoted, position = _flag(text, position, escape)
        if word == "--":
            return tuple(flags), text[position:]
        if word or quoted:
            flags.append(word)


def _flag(text: str, position: int, escape: str) -> tuple[str, bool, int]:
    word: list[str] = []
    quote, quoted = "", False
    while position < len(text):
        char = text[position]
        if char == escape:
            word.append(text[position + 1 : position + 2])
            position += 2
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "'\"":
            quote, quoted = char, True
        elif char in SPACE:
            break
        else:
            word.append(char)
        position += 1
    return "".join(word), quoted, position


def split_blanks(text: str) -> tuple[str, ...]:
    return tuple(_BLANKS.split(text)) if text else ()


def split_once(text: str) -> tuple[str, ...]:
    return tuple(_BLANKS.split(text, maxsplit=1))


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """Words at white space outside quotes; quotes and escapes are kept, to be resolved by expansion.

    Only an escape that ends the text is dropped.
    """
    words: list[str] = []
    parts: list[str] = []
    for match in re.finditer(_WORD_TOKENS[escape], text, re.DOTALL):
        if match.lastgroup == "space":
            if parts:
                words.append("".join(parts))
                parts = []
        elif match.lastgroup != "end":
            parts.append(match[0])
    if parts:
        words.append("".join(parts))
    return tuple(words)


def _word_tokens(escape: str) -> str:
    e = re.escape(escape)
    return (
        rf"(?P<space>[{SPACE}]+)|(?P<single>'[^']*+'?)"
        # An escape right before the end of the text is dropped, in double quotes too.
        rf'|(?P<double>"(?:{e}.|[^"{e}])*+"?)|(?P<escaped>{e}.)|(?P<end>{e}\Z)|(?P<plain>[^{SPACE}\'"{e}]+)'
    )


_WORD_TOKENS = {escape: _word_tokens(escape) for escape in ("\\", "`")}
