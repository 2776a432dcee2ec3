"""`--filter key=value`, any number of times, as docker reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from wherry.base.errors import WherryError
from wherry.ui import units


def parse(words: Iterable[str], known: tuple[str, ...]) -> dict[str, list[str]]:
    """The values of each key, all of `known` present; WherryError for another key."""
    found: dict[str, list[str]] = {key: [] for key in known}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals:
            raise WherryError(f"invalid filter {word!r}", hint="write a filter as key=value")
        if key not in found:
            raise WherryError(f"invalid filter {key!r}", hint=f"the filters are {', '.join(known)}")
        found[key].append(value)
    return found


def until(values: list[str]) -> float:
    """The earliest of such points in time, in unix seconds; now where there is none."""
    now = time.time()
    return min((units.moment(text, now) for text in values), default=now)


def truth(values: list[str], key: str) -> bool | None:
    """The last of `values` as true or false; None where there is none."""
    if not values:
        return None
    words = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
    if values[-1].lower() not in words:
        raise WherryError(f"invalid filter '{key}={values[-1]}'", hint=f"write {key}=true or {key}=false")
    return words[values[-1].lower()]
