"""Ports of EXPOSE: `80`, `80/udp`, `8000-8010`, and `ip:host:container`, of which the last counts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wherry.dockerfile.errors import DockerfileError

PROTOCOLS = ("tcp", "udp", "sctp")
_PORT = re.compile(r"(?:.*:)?([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([^/]*))?", re.DOTALL)


def exposed(words: Iterable[str]) -> tuple[str, ...]:
    """Each port as the image config names it (`80/tcp`), once, in the order given. Raises DockerfileError."""
    found: dict[str, None] = {}
    for word in words:
        first, last, protocol = _range(word)
        for port in range(first, last + 1):
            found[f"{port}/{protocol}"] = None
    return tuple(found)


def _range(word: str) -> tuple[int, int, str]:
    match = _PORT.fullmatch(word)
    if match is None:
        raise DockerfileError(f"invalid port: {word!r}", hint="write 80, 80/udp or 8000-8010")
    first = int(match[1])
    last = int(match[2] or match[1])
    protocol = (match[3] or "tcp").lower()
    if not 0 <= first <= last <= 65535:
        raise DockerfileError(
            f"invalid port: {word!r}", hint="ports are 0 to 65535, a range begins with the lower"
        )
    if protocol not in PROTOCOLS:
        raise DockerfileError(f"invalid proto: {match[3]}", hint=f"one of {', '.join(PROTOCOLS)}")
    return first, last, protocol
