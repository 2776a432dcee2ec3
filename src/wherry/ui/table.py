"""Columns as docker lays them out (Go's tabwriter: at least ten wide, three spaces between)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MINIMUM = 10
_GAP = 3


def render(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table with a line end behind each row."""
    return align([header, *rows])


def align(rows: Sequence[Sequence[str]], *, minimum: int = _MINIMUM, gap: int = _GAP) -> str:
    """Rows of cells; the last cell of a row is not padded and widens nothing."""
    widths: list[int] = []
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            if column == len(widths):
                widths.append(minimum)
            widths[column] = max(widths[column], len(cell) + gap)
    return "".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
    return "".join([*padded, *row[-1:]]) + "\n"
