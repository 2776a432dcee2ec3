"""Values of flags: durations, sizes, booleans, comma-separated options, as Go reads them."""

from __future__ import annotations

import re

from wherry.dockerfile.errors import DockerfileError

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,  # U+03BC
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_AMOUNT = r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)"
_SIZE = r"(?i)([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)i?b?"
_FIELD = r'(?:"((?:[^"]|"")*+)"|([^",]*+))(?=,|\Z)'
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
LONGEST = (1 << 63) - 1  # nanoseconds, and bytes


def duration(text: str) -> int:
    """`1m30s` in nanoseconds (Go's time.ParseDuration). Raises DockerfileError."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = position = 0
    amount = re.compile(_AMOUNT)
    while position < len(rest):
        part = amount.match(rest, position)
        if part is None or len(part[0]) > 30 or not (part[1] or part[2]):
            break
        unit = _UNITS[part[3]]
        fraction = part[2] or ""
        total += int(part[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if not rest or position < len(rest) or total > LONGEST:
        raise DockerfileError(
            f"invalid duration {text!r}", hint="write a number and a unit: 500ms, 30s, 1m30s"
        )
    return sign * total


def size(text: str) -> int:
    """`64m` in bytes; the units are powers of 1024, as docker has them. Raises DockerfileError."""
    found = re.fullmatch(_SIZE, text)
    if found is None or len(found[1]) > 30:
        raise DockerfileError(f"invalid size {text!r}", hint="write a number of bytes, or 512k, 64m, 1g")
    value = int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " "))
    if value > LONGEST:
        raise DockerfileError(f"invalid size {text!r}: too large")
    return value


def boolean(text: str) -> bool | None:
    """Go's strconv.ParseBool; None where it is neither."""
    return True if text in _TRUE else False if text in _FALSE else None


def number(text: str, base: int = 10) -> int | None:
    """An unsigned 32-bit number in `base`, or None."""
    digits = "01234567" if base == 8 else "0123456789"
    if not text or len(text) > 20 or text.strip(digits):
        return None
    value = int(text, base)
    return value if value < 1 << 32 else None


def fields(text: str) -> list[str]:
    """One line of comma-separated values; a field in double quotes may have commas, and `""` for a quote."""
    found: list[str] = []
    position = 0
    field = re.compile(_FIELD)
    while True:
        match = field.match(text, position)
        if match is None:
            raise DockerfileError(f"a double quote out of place in {text!r}")
        quoted, plain = match.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"'))
        if match.end() == len(text):
            return found
        position = match.end() + 1


def stage_number(text: str, count: int) -> int:
    """The number of one of `count` stages, or -1."""
    found = number(text)
    return -1 if found is None or found >= count else found
