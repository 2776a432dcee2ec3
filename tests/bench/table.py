"""Rows of a table: what each builder takes for one thing, the builders in turns.

In turns, because a machine is never as quiet as one would like: what disturbs one disturbs all of them. A
cell has the shortest time, the median, and the memory of the largest process.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from bench.measure import Failure, Sample


class Named(Protocol):
    """Something that is measured beside others: a column."""

    @property
    def name(self) -> str: ...


Column = TypeVar("Column", bound=Named)


class Case(NamedTuple, Generic[Column]):
    """`samples` does the same again and again, and says each time what that took."""

    title: str
    samples: Callable[[Column], Iterator[Sample]]


def print_head(title: str, builders: Sequence[Named]) -> None:
    print(f"{title:<48}" + "".join(f"{builder.name:>30}" for builder in builders))
    print(f"{'':<48}" + f"{'min':>10}{'median':>9}{'memory':>11}" * len(builders))


def print_row(case: Case[Column], builders: Sequence[Column]) -> None:
    failures: dict[str, str] = {}
    taken = _in_turns(case, builders, failures)
    cells = (
        f"{'failed':>30}" if builder.name in failures else _cell(taken[builder.name]) for builder in builders
    )
    told = [f"    {name}: {text}" for name, text in failures.items()]
    print(f"{case.title:<48}{''.join(cells)}", *told, sep="\n", flush=True)


def _in_turns(
    case: Case[Column], builders: Sequence[Column], failures: dict[str, str]
) -> dict[str, list[Sample]]:
    taken: dict[str, list[Sample]] = {builder.name: [] for builder in builders}
    going = {builder.name: case.samples(builder) for builder in builders}
    while going:
        for name, samples in list(going.items()):
            try:
                taken[name].append(next(samples))
            except StopIteration:
                del going[name]
            except Failure as failure:
                del going[name]
                failures[name] = str(failure)
    return taken


def _cell(samples: Sequence[Sample]) -> str:
    if not samples:
        return f"{'-':>30}"
    seconds = [sample.seconds for sample in samples]
    memory = max(sample.memory for sample in samples)
    return f"{duration(min(seconds)):>10}{duration(statistics.median(seconds)):>9}{memory / 1e6:>8.0f} MB"


def duration(seconds: float) -> str:
    """In three digits or so."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
