"""What follows from health checks, and when the next one is due."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.base.errors import UsageError
from wherry.container.options.health import Condition, Health, Result, resolve
from wherry.oci.config import Execution, Healthcheck

SECOND = 10**9
GOOD, BAD, LATE = (Result(1, 2, code, "") for code in (0, 1, -1))
CHECK = Health(("CMD", "check"), start_period=60 * SECOND)


def found(*results: Result, health: Health = CHECK, age: float = 100) -> Condition:
    condition = Condition()
    for result in results:
        condition = condition.after(result, health, age)
    return condition


def test_three_failures_in_a_row_are_unhealthy() -> None:
    assert found(BAD, LATE)[:2] == ("starting", 2)
    assert found(BAD, LATE, BAD)[:2] == ("unhealthy", 3)
    assert found(BAD, BAD, GOOD, BAD, BAD)[:2] == ("healthy", 2)
    assert found(GOOD, BAD, BAD, BAD, GOOD)[:2] == ("healthy", 0)


def test_one_is_enough_where_that_is_wanted() -> None:
    assert found(BAD, health=CHECK._replace(retries=1)).status == "unhealthy"


def test_in_the_start_period_failures_do_not_count_until_one_check_was_good() -> None:
    assert found(BAD, BAD, BAD, BAD, age=59)[:2] == ("starting", 0)
    assert found(BAD, BAD, BAD, age=60)[:2] == ("unhealthy", 3)
    assert found(GOOD, BAD, BAD, BAD, age=5)[:2] == ("unhealthy", 3)


def test_the_last_five_results_are_kept() -> None:
    results = [Result(number, number, 0, str(number)) for number in range(9)]
    assert found(*results).results == tuple(results[-5:])


def test_an_end_and_another_start() -> None:
    condition = found(GOOD, BAD)
    assert condition.ended().status == "unhealthy"
    assert condition.ended().again() == Condition("starting", 0, condition.results)


@pytest.mark.parametrize(
    ("health", "status", "age", "delay"),
    [
        (CHECK, "starting", 0, 5),
        (CHECK, "starting", 59.9, 5),
        (CHECK, "starting", 60, 30),
        (CHECK, "healthy", 5, 30),
        (CHECK._replace(start_period=0), "starting", 0, 30),
        (CHECK._replace(start_interval=SECOND, interval=7 * SECOND), "starting", 1, 1),
        (CHECK._replace(start_interval=SECOND, interval=7 * SECOND), "unhealthy", 1, 7),
    ],
    ids=str,
)
def test_when_the_next_one_is_due(health: Health, status: str, age: float, delay: float) -> None:
    assert health.delay(status, age) == delay


def test_what_the_user_does_not_say_the_image_does() -> None:
    image = Execution(
        healthcheck=Healthcheck(("CMD", "a"), interval=2 * SECOND, retries=9), shell=("/bin/bash", "-c")
    )
    found = resolve(Health(interval=SECOND), image)
    assert found
    assert (found.args, found.interval, found.retries, found.patience) == (("a",), SECOND, 9, 30)
    own = resolve(Health(("CMD-SHELL", "b c")), image)
    assert own
    assert own.args == ("/bin/bash", "-c", "b c")
    bare = resolve(Health(("CMD-SHELL", "b c")), Execution())
    assert bare
    assert bare.args == ("/bin/sh", "-c", "b c")


@pytest.mark.parametrize(
    ("wanted", "test"),
    [
        (Health(("NONE",)), ("CMD", "a")),
        (Health(), ()),
        (Health(), ("NONE",)),
        (Health(interval=SECOND), ()),
        (Health(), ("CMD",)),
        (Health(), ("SOMETHING", "a")),
    ],
    ids=str,
)
def test_no_check_at_all(wanted: Health, test: tuple[str, ...]) -> None:
    assert resolve(wanted, Execution(healthcheck=Healthcheck(test) if test else None)) is None


@pytest.mark.parametrize("field", ["interval", "timeout", "start_period", "start_interval"])
def test_times_of_an_image_that_cannot_be(field: str) -> None:
    for value in (-1, 1, 999_999):
        times: dict[str, Any] = {field: value}
        check = Healthcheck(("CMD", "a"), **times)
        with pytest.raises(UsageError, match=field.replace("_", " ")):
            resolve(Health(), Execution(healthcheck=check))
