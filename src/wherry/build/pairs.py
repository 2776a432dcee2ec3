"""Flags whose value is a list of options: `--secret id=NAME,src=FILE`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wherry.base.errors import UsageError
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.values import fields


def pairs(flag: str, text: str, known: Collection[str] = ()) -> dict[str, str]:
    """The options by their names, in small letters; UsageError for one that is not of `known`, if there are
    any."""
    given: dict[str, str] = {}
    try:
        words = fields(text)
    except DockerfileError as error:
        raise UsageError(f"{flag} {text}: {error.message}") from None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{flag} {text}: {word!r} is not of the form key=value")
        given[key.lower()] = value
    if known:
        check(flag, text, given, known)
    return given


def check(flag: str, text: str, given: Iterable[str], known: Collection[str]) -> None:
    """UsageError for a name that is not of `known`."""
    for key in given:
        if key not in known:
            raise UsageError(f"{flag} {text}: unknown option {key!r}", hint=f"known: {', '.join(known)}")
