"""Scheduling: each step once, when its parents are there, side by side where that is possible."""

from __future__ import annotations

import threading
import time

import pytest

from wherry.base.errors import WherryError
from wherry.base.events import Cached, Done, Event, Started
from wherry.build.solve import Chain, Made, solve
from wherry.build.step import Base, Folder, Step
from wherry.oci import digest as digests
from wherry.oci.digest import Digest


class Worker:
    """Makes a layer out of a step's name; `known` are the names of those that have records."""

    def __init__(self, known: set[str] | None = None) -> None:
        self.known = known or set()
        self.executed: list[str] = []
        self.durations: dict[str, float] = {}
        self.prepared = 0
        self.cancelled = threading.Event()

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made | None:
        if step.name not in self.known:
            return None
        return Made(self.layer(step), reused=True)

    def duration(self, step: Step) -> float:
        return self.durations.get(step.name, 1.0)

    def prepare(self) -> None:
        self.prepared += 1

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        self.executed.append(step.name)
        return Made(self.layer(step))

    def cancel(self) -> None:
        self.cancelled.set()

    def layer(self, step: Step) -> Digest | None:
        return digests.of(step.name.encode())


def graph(*edges: tuple[str, int | None, tuple[int, ...]]) -> list[Step]:
    return [
        Step(number, Base(()) if parent is None else Folder(name, ""), parent, inputs, name, None, "")
        for number, (name, parent, inputs) in enumerate(edges)
    ]


LINE = graph(("base", None, ()), ("a", 0, ()), ("b", 1, ()), ("c", 2, ()))


def test_all_known_means_no_preparation_and_no_execution() -> None:
    worker = Worker({"a", "b", "c"})
    events: list[Event] = []
    outcomes = solve(LINE, worker, events.append)
    assert (worker.prepared, worker.executed) == (0, [])
    assert all(outcome.cached for outcome in outcomes)
    assert [type(event) for event in events] == [Cached] * 4
    assert len(outcomes[3].chain) == 3


def test_what_follows_a_miss_is_looked_up_again() -> None:
    worker = Worker({"b", "c"})
    outcomes = solve(LINE, worker, lambda _: None)
    assert (worker.prepared, worker.executed) == (1, ["a"])
    assert [outcome.cached for outcome in outcomes] == [True, False, True, True]


def test_events_of_an_executed_step() -> None:
    events: list[Event] = []
    solve(LINE[:2], Worker(), events.append)
    assert [type(event) for event in events] == [Cached, Started, Done]


def test_a_step_whose_files_turn_out_to_be_known_ones_is_reused() -> None:
    class Late(Worker):
        def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
            return super().execute(step, parent, inputs)._replace(reused=True)

    events: list[Event] = []
    outcomes = solve(LINE[:2], Late(), events.append)
    assert [type(event) for event in events] == [Cached, Started, Cached]
    assert outcomes[1].cached
    assert len(outcomes[1].chain) == 1


def test_a_step_that_changes_nothing_adds_no_layer() -> None:
    class Idle(Worker):
        def layer(self, step: Step) -> Digest | None:
            return None if step.name == "b" else super().layer(step)

    outcomes = solve(LINE, Idle(), lambda _: None)
    assert [len(outcome.chain) for outcome in outcomes] == [0, 1, 1, 2]


def test_inputs_come_first() -> None:
    steps = graph(("x", None, ()), ("a", 0, ()), ("y", None, ()), ("copy", 2, (1,)))
    seen: dict[str, list[Chain]] = {}

    class Watching(Worker):
        def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
            seen[step.name] = inputs
            return super().execute(step, parent, inputs)

    solve(steps, Watching(), lambda _: None, jobs=4)
    assert seen["copy"] == [(digests.of(b"a"),)]


def test_independent_steps_run_side_by_side() -> None:
    steps = graph(("x", None, ()), ("a", 0, ()), ("b", 0, ()))
    both = threading.Barrier(2, timeout=60)

    class Meeting(Worker):
        def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
            both.wait()
            return super().execute(step, parent, inputs)

    assert len(solve(steps, Meeting(), lambda _: None, jobs=2)) == 3


def test_one_job_means_one_at_a_time() -> None:
    steps = graph(("x", None, ()), *((name, 0, ()) for name in "abcd"))
    running = []

    class Counting(Worker):
        def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
            running.append(step.name)
            time.sleep(0.005)
            assert running[-1] == step.name
            return super().execute(step, parent, inputs)

    solve(steps, Counting(), lambda _: None, jobs=1)
    assert len(running) == 4


@pytest.mark.parametrize(
    ("durations", "expected"),
    [({}, "bcad"), ({"a": 2.5}, "bacd"), ({"a": 9.0}, "abcd"), ({"d": 0.1, "c": 0.1, "a": 1.15}, "bacd")],
)
def test_the_longest_path_comes_first(durations: dict[str, float], expected: str) -> None:
    steps = graph(("x", None, ()), ("a", 0, ()), ("b", 0, ()), ("c", 2, ()), ("d", 0, (3,)))
    worker = Worker()
    worker.durations = durations
    solve(steps, worker, lambda _: None, jobs=1)
    assert "".join(worker.executed) == expected


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    steps = graph(("x", None, ()), ("bad", 0, ()), ("slow", 0, ()), ("never", 2, ()))

    class Failing(Worker):
        def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
            if step.name == "bad":
                raise WherryError("it broke")
            if step.name == "slow":
                assert self.cancelled.wait(60)
                raise WherryError("cancelled")
            return super().execute(step, parent, inputs)

    worker = Failing()
    with pytest.raises(WherryError, match="it broke"):
        solve(steps, worker, lambda _: None, jobs=2)
    assert worker.executed == []
