"""Timers of an event loop, with a clock that the test sets."""

from __future__ import annotations

from wherry.container.monitor.timers import Timers


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_they_fire_in_the_order_of_their_times() -> None:
    clock, said = Clock(), []
    timers = Timers(clock)
    for seconds in (3, 1, 2, 1):
        timers.after(seconds, lambda seconds=seconds: said.append(seconds))  # type: ignore[misc]
    assert timers.patience() == 1
    timers.fire()
    assert said == []
    clock.now += 2
    timers.fire()
    assert said == [1, 1, 2]
    assert timers.patience() == 1
    clock.now += 5
    assert timers.patience() == 0
    timers.fire()
    assert (said, timers.patience()) == ([1, 1, 2, 3], None)


def test_a_cancelled_one_does_not_fire_and_is_not_waited_for() -> None:
    clock, said = Clock(), []
    timers = Timers(clock)
    first = timers.after(1, lambda: said.append("first"))
    timers.after(5, lambda: said.append("second"))
    first.cancel()
    first.cancel()
    assert timers.patience() == 5
    clock.now += 1
    timers.fire()
    assert said == []
    timers.clear()
    assert timers.patience() is None


def test_one_that_sets_up_itself_again_does_not_hold_up_the_loop() -> None:
    clock, said = Clock(), []
    timers = Timers(clock)

    def again() -> None:
        said.append(clock.now)
        timers.after(0, again)

    again()
    timers.fire()
    assert len(said) == 2


def test_the_first_may_cancel_all_others() -> None:
    clock, said = Clock(), []
    timers = Timers(clock)
    timers.after(1, timers.clear)
    timers.after(1, lambda: said.append("never"))
    clock.now += 1
    timers.fire()
    assert said == []
