"""Health checks: what is executed and when, and what follows from how it ended (moby, daemon/health.go)."""

from __future__ import annotations

from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.oci.config import Execution, Healthcheck

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATUSES = (STARTING, HEALTHY, UNHEALTHY, NONE)

LONGEST_OUTPUT = 4096
"""Bytes that are kept of what a check writes."""

SHORTEST = 1_000_000
"""Nanoseconds: docker takes no shorter time."""

_KEPT = 5
_SHELL = ("/bin/sh", "-c")
_SECOND = 1_000_000_000
_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30 * _SECOND, 30 * _SECOND, 5 * _SECOND, 3


class Health(NamedTuple):
    """A check in docker's words: `test` is ("NONE",), ("CMD", ...) or ("CMD-SHELL", text).

    Times are nanoseconds; what is 0 or empty is the image's, or else docker's default. `shell` executes the
    text.
    """

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0
    shell: tuple[str, ...] = ()

    @property
    def args(self) -> tuple[str, ...]:
        return self.test[1:] if self.test[0] == "CMD" else (*(self.shell or _SHELL), *self.test[1:])

    @property
    def patience(self) -> float:
        """Seconds that a check may take."""
        return (self.timeout or _TIMEOUT) / _SECOND

    def delay(self, status: str, age: float) -> float:
        """Seconds until the next check of a container that has run for `age` seconds."""
        if status == STARTING and age < self.start_period / _SECOND:
            return (self.start_interval or _START_INTERVAL) / _SECOND
        return (self.interval or _INTERVAL) / _SECOND


class Result(NamedTuple):
    """One check. Times: unix seconds; `code` is -1 where it did not come to an end of its own."""

    started: float
    ended: float
    code: int
    output: str


class Condition(NamedTuple):
    """What the checks have found: the failures since the last success, and the last results."""

    status: str = STARTING
    failures: int = 0
    results: tuple[Result, ...] = ()

    def after(self, result: Result, health: Health, age: float) -> Condition:
        """With one more result, of a check that began when the container had run for `age` seconds."""
        results = (*self.results, result)[-_KEPT:]
        if result.code == 0:
            return Condition(HEALTHY, 0, results)
        if self.status == STARTING and age < health.start_period / _SECOND:
            return self._replace(results=results)
        failures = self.failures + 1
        status = UNHEALTHY if failures >= (health.retries or _RETRIES) else self.status
        return Condition(status, failures, results)

    def again(self) -> Condition:
        """When the container is started again."""
        return self._replace(status=STARTING, failures=0)

    def ended(self) -> Condition:
        """When it has ended: docker calls that unhealthy."""
        return self._replace(status=UNHEALTHY)


def resolve(wanted: Health, execution: Execution) -> Health | None:
    """The check of a container, by what the user wants and the image has; None where there is none.

    UsageError for a time or a number that cannot be.
    """
    image = execution.healthcheck or Healthcheck(())
    merged = {name: getattr(wanted, name) or getattr(image, name) for name in Healthcheck._fields}
    health = Health(**merged, shell=execution.shell or ())
    _check(health)
    return health if health.test[:1] in (("CMD",), ("CMD-SHELL",)) and health.test[1:] else None


def _check(health: Health) -> None:
    for name in ("interval", "timeout", "start_period", "start_interval"):
        value, words = getattr(health, name), name.replace("_", " ")
        if value < 0:
            raise UsageError(f"the {words} of the health check cannot be negative")
        if 0 < value < SHORTEST:
            raise UsageError(f"the {words} of the health check cannot be less than 1ms")
    if health.retries < 0:
        raise UsageError("the retries of the health check cannot be negative")
