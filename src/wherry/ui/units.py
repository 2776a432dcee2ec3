"""Sizes, ages and spans of time as docker writes and reads them."""

from __future__ import annotations

import re

from wherry.base import ages
from wherry.base.errors import WherryError

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(count: float) -> str:
    """`12.3MB`: three digits, powers of 1000."""
    for unit in _SIZES[:-1]:
        if float(f"{count:.3g}") < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.4g}{_SIZES[-1]}"


def memory(count: float) -> str:
    """`12.34MiB`: four digits, powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:.4g}{unit}"
        count /= 1024
    return f"{count:.4g}PiB"


def bytes_of(count: float) -> str:
    """`12.30MB`: two decimals, of steady width while it grows (progress of transfers)."""
    for unit in _SIZES[:-1]:
        if count < 999.995:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.2f}{unit}"
        count /= 1000
    return f"{count:.2f}{_SIZES[-1]}"


def age(seconds: float) -> str:
    """`About a minute`, `3 weeks`: how long something took or how old it is."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return _count(int(seconds), "second")
    if seconds < 120:
        return "About a minute"
    if seconds < 3600:
        return _count(int(seconds // 60), "minute")
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return _count(hours, "hour")
    if hours < 24 * 7 * 2:
        return _count(hours // 24, "day")
    if hours < 24 * 30 * 2:
        return _count(hours // 24 // 7, "week")
    if hours < 24 * 365 * 2:
        return _count(hours // 24 // 30, "month")
    return _count(hours // 24 // 365, "year")


def span(seconds: float) -> str:
    """`0.1 s`, `41 s`, `2 min 5 s`, `12 min`, `1 h 4 min`: how long something took, in ten characters."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = int(seconds + 0.5)
    if whole < 100:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = (whole + 30) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 600 else f"{(minutes + 30) // 60} h"


def ago(moment: float, now: float | None = None) -> str:
    """`2 minutes ago`; `moment` is seconds since 1970."""
    if now is None:
        import time

        now = time.time()
    return age(now - moment) + " ago"


def rfc3339(moment: float) -> str:
    """`2026-11-21T07:04:05Z` in UTC, for `moment` in seconds since 1970."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def parse_rfc3339(text: str) -> float | None:
    """Seconds since 1970 of a point in time as image configs hold it; None for "" and for nonsense.

    Go's zero time (the year 1) is None too: that is how docker writes "not known".
    """
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.year > 1 else None
    except (ValueError, OverflowError):
        return None


def duration(text: str) -> float:
    """Seconds of `24h`, `1h30m`, `7d`; WherryError for anything else."""
    seconds = ages.parse(text)
    if seconds is None:
        raise WherryError(f"not a span of time: {text!r}", hint=ages.FORM)
    return seconds


def moment(text: str, now: float) -> float:
    """The point in time that `until=` and `since=` name, in seconds since 1970.

    A span (`24h`: so long before `now`), seconds since 1970, a date, or a date and time (local, unless
    they have a zone).
    """
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    if re.match(r"\d{4}-\d\d-\d\d", text):
        from datetime import datetime

        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            raise WherryError(f"not a date and time: {text!r}", hint="write 2026-01-31T12:00:00Z") from None
    seconds = ages.parse(text)
    if seconds is None:
        raise WherryError(
            f"not a time: {text!r}",
            hint="write a span, so long ago, such as 30m or 7d, or a time such as 2026-01-31T12:00:00Z",
        )
    return now - seconds


def nanoseconds(text: str, now: float) -> int:
    """As `moment`, in whole nanoseconds: a fraction of a second counts as it is written."""
    match = re.fullmatch(r"(\d+|.*:\d\d)\.(\d{1,9})(.*)", text, re.ASCII)
    if match is None or (match[1].isdigit() and match[3]):
        return int(moment(text, now) * 10**9)
    return int(moment(match[1] + match[3], now)) * 10**9 + int(match[2].ljust(9, "0"))


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
