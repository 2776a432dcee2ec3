"""WWW-Authenticate: what a registry asks for (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wherry.base.tuples import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ITEM = re.compile(
    rf"""[\s,]*(?P<name>{_TOKEN})
         (?:\s+(?P<token68>[A-Za-z0-9._~+/-]+=*)(?=\s*(?:,|$))
         |\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))|(?=[\s,]|$))""",
    re.VERBOSE,
)
_MAX_HEADER = 16 * 1024


class Challenge(NamedTuple):
    """`scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse(headers: Sequence[str]) -> list[Challenge]:
    """All challenges of a 401. A header may hold several, separated as its parameters are: by commas.

    What cannot be read ends a header; the challenges before it count.
    """
    found: list[Challenge] = []
    for header in headers:
        header, at, start = header[:_MAX_HEADER], 0, len(found)
        while match := _ITEM.match(header, at):
            at = match.end()
            name = match["name"].lower()
            quoted, plain = match["quoted"], match["plain"]
            if quoted is None and plain is None:
                found.append(Challenge(name, {}))
            elif len(found) > start:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                found[-1].parameters.setdefault(name, value)
    return found


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """The one to answer: tokens before passwords; None where there is neither."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None
