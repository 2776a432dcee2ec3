"""What is wrong with a Dockerfile: the sentence, the place, the source lines, and what was perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base.errors import Location, WherryError

LONGEST = 400  # characters of a message, which may quote words of any length


class DockerfileError(WherryError):
    """A Dockerfile, or an ignore file, that cannot be read as one."""

    def __init__(
        self, message: str, *, hint: str = "", where: Location | None = None, excerpt: str = ""
    ) -> None:
        if len(message) > LONGEST:
            message = f"{message[:LONGEST]}…"
        super().__init__(message, hint=hint, where=where, excerpt=excerpt)


class WordError(DockerfileError):
    """A word whose quotes or `${}` are wrong, or a `${x:?}` that does not hold; `where` is unknown here."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A hint naming the candidate within two edits of `word` (case aside), or nothing."""
    best = closest(word.lower(), ((candidate.lower(), candidate) for candidate in candidates))
    return f"did you mean {best}?" if best else ""


def closest(word: str, candidates: Iterable[tuple[str, str]]) -> str:
    """The second of the pair whose first is nearest to `word`, within two edits; else nothing."""
    best, distance = "", 3
    for candidate, name in candidates:
        found = _edits(word, candidate)
        if found < distance:
            best, distance = name, found
    return best


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
