"""The functions of templates: docker's own, and those of Go's text/template, on JSON's values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wherry.base.errors import WherryError

Function = Callable[..., Any]


def find(name: str) -> Function | None:
    return _FUNCTIONS.get(name)


def text(value: object, inside: bool = False) -> str:
    """As Go's `%v`; `inside` a list or a map nothing is `<nil>`, alone it is `<no value>`."""
    if value is None:
        return "<nil>" if inside else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{text(item, True)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(text(item, True) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}" if value != int(value) or abs(value) >= 1e21 else str(int(value))
    return str(value)


def truth(value: object) -> bool:
    """Go's: empty text, lists and maps, 0, false and nothing are false."""
    return bool(value)


def pairs(value: object) -> list[tuple[object, object]]:
    """What `range` goes through: maps by sorted key, lists by index, a number's range."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    raise WherryError(f"template: range cannot go through {kind(value)}")


def kind(value: object) -> str:
    names = {str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "a map" if isinstance(value, Mapping) else "a list")


def json_(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, str | list | tuple) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise WherryError(f"template: index {key} of {kind(value)} with {len(value)} items")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise WherryError(f"template: cannot index {kind(value)} with {text(key)!r}")
    return value


def slice_(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise WherryError(f"template: slice {start}:{end} of {kind(value)} with {len(value)} items")
    return value[start:end]


def eq(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def join(items: Sequence[Any], separator: str) -> str:
    return separator.join(text(item) for item in items)


def split(value: str, separator: str) -> list[str]:
    return value.split(separator) if separator else list(value)


def title(value: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), value)


def pad(value: str, left: int, right: int) -> str:
    return " " * left + value + " " * right if value else value


def truncate(value: str, length: int) -> str:
    return value[:length]


def print_(*values: Any) -> str:
    """Go's Sprint: a space between two operands that are both no text."""
    parts = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            parts.append(" ")
        parts.append(text(value, True))
    return "".join(parts)


def println(*values: Any) -> str:
    return " ".join(text(value, True) for value in values) + "\n"


def printf(form: str, *values: Any) -> str:
    """The verbs %v %s %d %q %t %x %X %f %e %g %c %% with flags, width and precision."""
    rest = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not rest:
            raise WherryError(f"template: printf has no value for {match[0]}")
        return _formatted(flags, verb, rest.pop(0), match[0])

    result = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", replace, form)
    if rest:
        raise WherryError("template: printf has more values than verbs")
    return result


def _formatted(flags: str, verb: str, value: Any, whole: str) -> str:
    try:
        if verb in ("v", "s"):
            return f"%{flags}s" % text(value, True)
        if verb == "t" and isinstance(value, bool):
            return f"%{flags}s" % text(value)
        if verb == "q":
            return f"%{flags}s" % json.dumps(text(value), ensure_ascii=False)
        if verb in "xX" and isinstance(value, str):
            return f"%{flags}s" % (value.encode().hex() if verb == "x" else value.encode().hex().upper())
        if verb in "dxXfegc":
            return str(f"%{flags}{verb}" % value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise WherryError(f"template: printf cannot write {kind(value)} as {whole}")


_FUNCTIONS: dict[str, Function] = {
    "eq": eq,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "index": index,
    "join": join,
    "json": json_,
    "le": lambda a, b: a <= b,
    "len": len,
    "lower": str.lower,
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: a != b,
    "not": lambda value: not truth(value),
    "pad": pad,
    "print": print_,
    "printf": printf,
    "println": println,
    "slice": slice_,
    "split": split,
    "title": title,
    "truncate": truncate,
    "upper": str.upper,
}
