"""Whether something takes time linear in its input: by comparison of two sizes, never by the clock alone."""

from __future__ import annotations

import time
from collections.abc import Callable

GROWTH = 8
SLACK = 3.0  # a quadratic run would take GROWTH times longer than a linear one


def seconds(run: Callable[[], object]) -> float:
    """The processor time of the fastest of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def assert_linear(run: Callable[[int], object], size: int) -> None:
    """`run(size)` prepares and does the work; it is done for `size` and for eight times as much."""
    small = max(seconds(lambda: run(size)), 0.001)
    large = seconds(lambda: run(size * GROWTH))
    assert large < small * GROWTH * SLACK, f"{size}: {small:.4f} s, {size * GROWTH}: {large:.4f} s"
