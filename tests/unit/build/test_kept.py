"""A build as it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wherry.base import values
from wherry.base.errors import WherryError
from wherry.build import keeping, kept, picking
from wherry.build.account import BASE, EXACT, EXECUTED, FAILED, Account, Went
from wherry.build.options import Options
from wherry.build.plan import Aim, Plan
from wherry.build.solve import Outcome
from wherry.build.step import Base, Copy, Remote, Run, Scene, Step
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import Execution
from wherry.oci.digest import Digest
from wherry.store.builds import Builds
from wherry.store.store import Store

A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
RUN = Run(("sh", "-c", "x\udcff"), (("A", "1"),), "web", "/w")
STEPS = (
    Step(0, Base((A,)), None, (), "[1/3] FROM a", None, "", "linux/amd64"),
    Step(1, RUN, 0, (), "[2/3] RUN x", None, "", "linux/amd64", Scene(RUN, ("/bin/bash", "-c"))),
    Step(2, RUN, 1, (0,), "[3/3] RUN x", None, "", "linux/amd64", Scene(RUN)),
)
PLAN = Plan(STEPS, (Aim(2, Execution(), None, platforms.host(), (), ""),), ())
BEGUN = [Outcome((A,), None, True), Outcome((A, B), B), None]


def account(*results: str) -> Account:
    return Account(1.5, tuple(map(Went, results)))


def only(store: Store) -> kept.Build:
    (found,) = Builds(store).all()
    return picking.build_of(found)


def test_where_each_step_began_is_kept(store: Store) -> None:
    outcomes = [*BEGUN[:2], Outcome((A, B))]
    options = Options(tags=(references.parse("app:v1"),))
    went = account(EXACT, EXECUTED, EXECUTED)
    keeping.succeeded(store, PLAN, [outcome for outcome in outcomes if outcome], options, B, went)
    build = only(store)
    assert [(place.parent, place.inputs, place.state) for place in build.places] == [
        ((A,), (), "cached"),
        ((A,), (), "done"),
        ((A, B), ((A,),), "done"),
    ]
    assert build.places[1].run == RUN
    assert build.places[1].shell == ("/bin/bash", "-c")
    assert (build.image, build.names, build.failure) == (B, ("docker.io/library/app:v1",), None)
    (found,) = Builds(store).all()
    assert found.layers == ()
    assert not found.failed
    assert picking.pick(Builds(store), "app:v1", failed=True).id == found.id
    assert picking.pick(Builds(store), B, failed=True).id == found.id


def test_a_failed_step_holds_the_layers_that_it_stands_on(store: Store) -> None:
    error = WherryError("why", hint="first")
    went = account(EXACT, EXECUTED, FAILED)
    keeping.failed(store, PLAN, BEGUN, Options(), STEPS[2], error, None, went)
    build = only(store)
    assert [place.state for place in build.places] == ["cached", "done", "failed"]
    assert build.failure == kept.Failure(2, "why")
    (found,) = Builds(store).all()
    assert set(found.layers) == {A, B}
    assert error.kept == found.id
    assert error.hint == "first"


def test_where_nothing_can_be_kept_the_error_is_the_steps_own(store: Store) -> None:
    Path(store.path("builds")).write_text("in the way")
    error = WherryError("why", hint="first")
    keeping.failed(store, PLAN, BEGUN, Options(), STEPS[2], error, None, account())
    assert (error.message, error.kept) == ("why", "")
    assert error.hint.startswith("first\nits state could not be kept: ")
    keeping.succeeded(store, PLAN, [Outcome((A,))] * 3, Options(), B, account())


def test_what_was_fetched_is_kept_without_passwords(store: Store) -> None:
    url = "https://me:secret@host/x"
    add = Copy((url,), "/", remotes=(Remote(url),))
    steps = (STEPS[0], Step(1, add, 0, (), "[2/2] ADD x /", None, "", "linux/amd64"))
    outcomes = [Outcome((A,)), Outcome((A, B), B)]
    plan = PLAN._replace(steps=steps)
    keeping.succeeded(store, plan, outcomes, Options(), B, account(BASE, EXECUTED))
    (place,) = only(store).places[1:]
    assert place.copy is not None
    assert (place.kind, place.needs, place.copy.patterns) == ("Copy", (0,), ("https://xxxxx@host/x",))
    assert "secret" not in json.dumps(values.encode(only(store)))


@pytest.mark.parametrize(
    ("context", "shown"),
    [("https://me:secret@host/x.git", "https://xxxxx@host/x.git"), ("/", "/"), ("-", "-")],
)
def test_the_context_is_called_without_passwords(store: Store, context: str, shown: str) -> None:
    keeping.failed(
        store, PLAN, BEGUN, Options(context=context), STEPS[2], WherryError("why"), None, account()
    )
    assert only(store).context == shown
    assert "secret" not in json.dumps(values.encode(only(store)))
