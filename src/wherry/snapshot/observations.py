"""What was looked at in a root filesystem: paths, and at each of them its face, its names or its content.

It holds of another root filesystem if that does not differ in what was looked at (`differences.py`); where
nothing was, the observation is that there was nothing. Paths are as in entries, and none has a link in it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from wherry.base.errors import Corrupt

MOST_PATHS = 2_000_000
_MOST_BYTES = 256 << 20
"""What one trace may say of a root filesystem, uncompressed: it may come from a stranger's cache."""

Observations = Mapping[str, int]
"""By path, the sum of FACE, NAMES and CONTENT."""


def broken(differences: Mapping[str, int], observations: Observations) -> Iterator[tuple[str, int]]:
    """The paths that were looked at and are not the same any more, and in what that was looked at."""
    for path, difference in differences.items():
        if bits := difference & observations.get(path, 0):
            yield path, bits


def top(path: str) -> str:
    """The part that a path is kept in: its first name; "" for the root itself."""
    return path.partition("/")[0]


def split(observations: Observations) -> dict[str, bytes]:
    """In parts that can be read alone, by `top`: who changes /app need not know what was read of /usr."""
    parts: dict[str, dict[str, int]] = {}
    for path, bits in observations.items():
        parts.setdefault(top(path), {})[path] = bits
    return {name: _encode(part) for name, part in parts.items()}


def joined(parts: Iterable[bytes]) -> dict[str, int]:
    """Of some parts, what `split` made them of. Corrupt for anything else, and for more than is kept."""
    found: dict[str, int] = {}
    size = count = 0
    for part in parts:
        plain = _inflated(part, _MOST_BYTES + 1 - size)
        bits, mark, text = plain.partition(b"\xff")
        size, count = size + len(plain), count + len(bits)
        if size > _MOST_BYTES or count > MOST_PATHS:
            raise Corrupt("a record of observations has no end")
        paths = text.decode("utf-8", "surrogateescape").split("\0")
        if not mark or len(paths) != len(bits):
            raise Corrupt("a record of observations is damaged")
        found.update(zip(paths, bits, strict=True))
    return found


def is_kept(observations: Observations) -> bool:
    """Whether they are few enough to be read again."""
    return len(observations) <= MOST_PATHS and sum(map(len, observations)) < _MOST_BYTES // 8


def _encode(part: Mapping[str, int]) -> bytes:
    """The sums, a byte each, 0xff, and the paths in their order, joined by NUL, which no path has."""
    paths = sorted(part)
    text = "\0".join(paths).encode("utf-8", "surrogateescape")
    return zlib.compress(bytes(part[path] for path in paths) + b"\xff" + text, 6)


def _inflated(data: bytes, most: int) -> bytes:
    """At most so many bytes, which is at least one."""
    inflating = zlib.decompressobj()
    try:
        plain = inflating.decompress(data, most)
    except zlib.error:
        raise Corrupt("a record of observations is damaged") from None
    if not inflating.eof and len(plain) < most:
        raise Corrupt("a record of observations is cut off")
    return plain
