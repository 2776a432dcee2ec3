"""The text of a Go template cut into plain text and actions, and an action into tokens."""

from __future__ import annotations

import re

from wherry.base.errors import WherryError


class BadTemplate(WherryError):
    """The template cannot be read."""

    exit_code = 64


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"(?:[^"\\\n]|\\.)*" | `[^`]*`)
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))
    | (?P<variable>\$\w*(?:\.\w+)*)
    | (?P<field>\.\w+(?:\.\w+)*|\.)
    | (?P<word>\w+)
    | (?P<close>\)(?:\.\w+)*)
    | (?P<mark>:=|=|,|\||\()""",
    re.VERBOSE,
)


def pieces(text: str) -> list[tuple[bool, str]]:
    """Plain text (False) and the insides of actions (True), trim marks obeyed and comments left out."""
    found: list[tuple[bool, str]] = []
    trim = False
    while text:
        plain, opened, text = text.partition("{{")
        if trim:
            plain = plain.lstrip()
        trim = False
        if opened and re.match(r"-\s", text):
            plain, text = plain.rstrip(), text[1:]
        if plain:
            found.append((False, plain))
        if not opened:
            break
        inside, text = _action_text(text)
        if re.search(r"\s-$", inside):
            inside, trim = inside[:-1], True
        inside = inside.strip()
        if not (inside.startswith("/*") and inside.endswith("*/")):
            found.append((True, inside))
    return found


def _action_text(text: str) -> tuple[str, str]:
    """The inside of an action up to `}}`, which may also stand within a string; and the rest."""
    match = re.match(
        r"""(?:/\*.*?\*/|-\s+/\*.*?\*/|"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\})[^"`])*?\}\}""", text, re.DOTALL
    )
    if match is None:
        raise BadTemplate("template: unclosed action", hint="every {{ needs its }}")
    return match[0][:-2], text[match.end() :]


def tokens(text: str) -> list[tuple[str, str]]:
    found = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadTemplate(f"template: unexpected {text[position]!r} in {{{{{text}}}}}")
        found.append((str(match.lastgroup), match[0]))
        position = match.end()
    return found
