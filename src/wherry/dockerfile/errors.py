"""What is wrong with a Dockerfile: the sentence, the place, the source lines, and what was perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.base.errors import WherryError

MARGIN = 2  # source lines shown before and after those at fault
WIDEST_LINE = 400  # characters of a source line that an excerpt shows
MOST_LINES = 20  # lines of a long instruction that an excerpt shows


class DockerfileError(WherryError):
    """A Dockerfile, or an ignore file, that cannot be read as one."""


class WordError(DockerfileError):
    """A word whose quotes or `${}` are wrong, or a `${x:?}` that does not hold; `where` is unknown here."""


def excerpt(lines: Sequence[str], start: int, end: int) -> str:
    """Lines `start` to `end` (from 1, both included) with a marker and a margin, as BuildKit shows them."""
    if lines and not lines[-1]:
        lines = lines[:-1]  # what split() leaves behind the last newline
    end = max(start, min(end, len(lines)))
    shown = range(max(1, start - MARGIN), min(len(lines), end + MARGIN) + 1)
    if len(shown) > MOST_LINES:
        shown = shown[:MOST_LINES]
    return "\n".join(
        f"{number:4d} | {'>>>' if start <= number <= end else '   '} {_shortened(lines[number - 1])}"
        for number in shown
    )


def _shortened(line: str) -> str:
    line = line.rstrip("\r")
    return line if len(line) <= WIDEST_LINE else line[:WIDEST_LINE] + "…"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A hint naming the candidate within two edits of `word` (case aside), or nothing."""
    best, distance = "", 3
    for candidate in candidates:
        found = _edits(word.lower(), candidate.lower())
        if found < distance:
            best, distance = candidate, found
    return f"did you mean {best}?" if best else ""


def _edits(one: str, other: str) -> int:
    """Levenshtein's distance, or 3 where it is certainly above two."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
