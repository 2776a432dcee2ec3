"""The exec form: an instruction's arguments as a JSON array of strings."""

from __future__ import annotations

import json
import re

from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE

_SURROGATE = "[\ud800-\udfff]"


def strings(text: str) -> tuple[str, ...] | None:
    """The array that `text` is, or None where it is no valid JSON: then it is meant for the shell.

    Raises DockerfileError for valid JSON that is an array of something else, as the frontend does.
    """
    text = text.strip(SPACE)
    if not text.startswith("["):
        return None
    found = _decoded(text)
    if found is None:
        return None
    items = [item for item in found if isinstance(item, str)]
    if len(items) != len(found):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint='quote every element with double quotes: ["command", "1"]',
        )
    # Like Go, which has no strings with half a surrogate pair, nor with bytes that are not UTF-8.
    return tuple(item if item.isascii() else re.sub(_SURROGATE, "\ufffd", item) for item in items)


def _decoded(text: str) -> list[object] | None:
    try:
        # Numbers are refused anyway: their value does not matter, and int() would mind their length.
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _number(_text: str) -> None:
    return None


def _not_json(text: str) -> None:
    raise ValueError(text)  # NaN and Infinity, which only Python takes for JSON
