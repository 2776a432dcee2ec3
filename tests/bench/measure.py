"""One process timed, with the memory of the largest process that it or its children were."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    seconds: float
    memory: int
    """Bytes: the peak of one process, not of all together. A daemon's memory is not seen."""


class Failure(Exception):
    """A command that did not do what was measured; its last words."""


class _Launcher:
    """The small process that starts what is measured; see launcher.py."""

    def __init__(self) -> None:
        program = os.path.join(os.path.dirname(__file__), "launcher.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, float, int, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(command), dict(environment)]) + "\n")
        self._process.stdin.flush()
        code, seconds, memory, errors = json.loads(self._process.stdout.readline())
        return code, seconds, memory, errors


@functools.cache
def _launcher() -> _Launcher:
    return _Launcher()


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Sample:
    """Run `command` to its end."""
    code, seconds, memory, errors = _launcher().run(command, {**os.environ, **(environment or {})})
    if code:
        raise Failure(errors.strip())
    return Sample(seconds, memory)


def timed(work: Callable[[], object], times: int) -> float:
    """The shortest of `times` runs of `work`, in seconds: what the machine can do."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def interpreter() -> float:
    """Starting and ending this Python with nothing to do."""
    return timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 5)
