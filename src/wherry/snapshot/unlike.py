"""Where two stacks of layers may differ: told by the layers that they have not in common.

Layers that stand in each other's place (two copies of one context, two versions of a base) say the same of
most paths. Unless something else is said of what is above it, such a path is the same in both, and
nobody has to look at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from wherry.oci.digest import Digest
from wherry.snapshot.names import NameCache, Told

Chain = Sequence[Digest]


def told(old: Chain, new: Chain, cache: NameCache) -> Iterator[Told]:
    """All paths of which the two are told different things; one may come several times."""
    for one, other in _pairs(old, new):
        yield from cache.told(one, other)


def unlike(old: Chain, new: Chain) -> tuple[list[Digest], list[Digest]]:
    """The layers of each chain that are not in both, or not in the same order in both.

    A path of which no such layer says anything, and of which none hides anything above, is decided by the
    same layers in the same order on both sides.
    """
    left, right = _apart(old, new)
    return [diff_id for _, diff_id in left], [diff_id for _, diff_id in right]


def _pairs(old: Chain, new: Chain) -> Iterator[tuple[Digest | None, Digest | None]]:
    """Those layers, two by two where they lie between the same common ones."""
    left, right = _apart(old, new)
    for gap in sorted({number for number, _ in (*left, *right)}):
        yield from zip_longest(
            [diff_id for number, diff_id in left if number == gap],
            [diff_id for number, diff_id in right if number == gap],
        )


Layers = list[tuple[int, Digest]]
"""Each with the number of common layers below it."""


def _apart(old: Chain, new: Chain) -> tuple[Layers, Layers]:
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    common = _common(old, new)
    return _without(old, common), _without(new, common)


def _alike(old: Chain, new: Chain) -> int:
    """How many layers are the same from the beginning on."""
    count = 0
    while count < min(len(old), len(new)) and old[count] == new[count]:
        count += 1
    return count


def _common(old: Chain, new: Chain) -> list[Digest]:
    """The longest sequence that both have (not in one piece)."""
    best: list[list[int]] = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            equal = old[i] == new[j]
            best[i][j] = best[i + 1][j + 1] + 1 if equal else max(best[i + 1][j], best[i][j + 1])
    common: list[Digest] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            common.append(old[i])
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return common


def _without(chain: Chain, common: Sequence[Digest]) -> Layers:
    passed = 0
    left = []
    for diff_id in chain:
        if passed < len(common) and diff_id == common[passed]:
            passed += 1
        else:
            left.append((passed, diff_id))
    return left
