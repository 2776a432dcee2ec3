"""A build as it is kept: where each of its steps began, so that one may stand there again (`build/debug.py`).

Nothing that is lent to a build is in it: no secret, no agent, no proxy. It is written at the end of every
build, so this module imports nothing that such a build does not need anyway.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.base.errors import Location, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import document
from wherry.build.legible import redacted
from wherry.build.options import Options
from wherry.build.plan import Plan
from wherry.build.solve import Chain, Outcome
from wherry.build.step import Base, Run, Step
from wherry.oci.digest import Digest
from wherry.runtime.spec import Conditions
from wherry.store.builds import Builds
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.left import Left

FAILED, CACHED, DONE = "failed", "cached", "done"


class Place(NamedTuple):
    """Where a step began.

    `run` is its process; of a step that has none, one without words in the same surroundings. `parent` and
    `inputs` are the chains that it stands on, None where the build did not come so far. `state` is failed,
    cached, done or "". `shell` is that of SHELL, if there is one.
    """

    name: str
    where: Location | None
    platform: str
    run: Run
    shell: tuple[str, ...] = ()
    parent: tuple[Digest, ...] | None = None
    inputs: tuple[tuple[Digest, ...], ...] = ()
    state: str = ""


class Failure(NamedTuple):
    """How a step failed: `number` is its place in `Plan.steps`, `code` its process's exit code, if it had
    one; `log` is the file with its output; `withheld` are files of its that hold a secret."""

    number: int
    why: str
    code: int | None = None
    log: str = ""
    withheld: tuple[str, ...] = ()


class Build(NamedTuple):
    """`file` is the Dockerfile's path or name; `names` are those of the image, `image` is its ID."""

    context: str
    file: str
    names: tuple[str, ...]
    places: tuple[Place, ...]
    host_ca: bool = False
    network: str = "host"
    isolation: str = "auto"
    snapshotter: str = "auto"
    conditions: Conditions = Conditions()
    image: str = ""
    failure: Failure | None = None


def succeeded(store: Store, plan: Plan, outcomes: Sequence[Outcome], options: Options, image: Digest) -> None:
    """Keep the plan of a build; where that cannot be, the build is no worse for it."""
    build = _build(_places(plan, outcomes), options)._replace(image=image)
    try:
        Builds(store).keep_succeeded(document.written(build))
    except (OSError, WherryError):
        pass


def failed(
    store: Store,
    plan: Plan,
    outcomes: Sequence[Outcome | None],
    options: Options,
    step: Step,
    error: WherryError,
    left: Left | None,
) -> None:
    """Keep a build with the state of its failed step, and say in `error` how to enter it.

    Where that cannot be, `error` says so: it is still the one to tell.
    """
    failure = Failure(step.number, error.message)
    if left:
        failure = Failure(step.number, left.why, left.code, left.log, left.withheld)
    places = list(_places(plan, outcomes))
    place = places[step.number] = places[step.number]._replace(state=FAILED)
    layers = {layer for chain in (place.parent or (), *place.inputs) for layer in chain}
    build = _build(tuple(places), options)._replace(failure=failure)
    builds = Builds(store)
    try:
        error.kept = builds.keep_failed(
            document.written(build), tuple(sorted(layers)), left.path if left else ""
        )
    except (OSError, WherryError) as problem:
        _add_hint(error, f"its state could not be kept: {_words(problem)}")
        return
    if left:
        _add_hint(error, f"enter the step as it failed: wherry debug {builds.shortest(error.kept)}")


def _add_hint(error: WherryError, text: str) -> None:
    error.hint = f"{error.hint}\n{text}" if error.hint else text


def _words(problem: OSError | WherryError) -> str:
    return problem.message if isinstance(problem, WherryError) else problem.strerror or str(problem)


def _build(places: tuple[Place, ...], options: Options) -> Build:
    context = options.context
    return Build(
        context=os.path.abspath(context) if os.path.isdir(context) else redacted(context),
        file=options.file,
        names=tuple(map(str, options.tags)),
        places=places,
        host_ca=options.host_ca,
        network=options.network,
        isolation=options.isolation,
        snapshotter=options.snapshotter,
        conditions=options.conditions,
    )


def _places(plan: Plan, outcomes: Sequence[Outcome | None]) -> tuple[Place, ...]:
    return tuple(_place(step, outcomes) for step in plan.steps)


def _place(step: Step, outcomes: Sequence[Outcome | None]) -> Place:
    outcome = outcomes[step.number]
    place = Place(step.name, step.where, step.platform, step.scene.run, step.scene.shell)
    chains = [_chain(number, outcomes) for number in step.inputs]
    parent = _parent(step, outcomes)
    if parent is not None and None not in chains:
        place = place._replace(parent=parent, inputs=tuple(chain for chain in chains if chain is not None))
    if outcome is not None:
        place = place._replace(state=CACHED if outcome.cached else DONE)
    return place


def _parent(step: Step, outcomes: Sequence[Outcome | None]) -> Chain | None:
    """What the step began with; of FROM, the base itself."""
    if isinstance(step.operation, Base):
        return step.operation.diff_ids
    return () if step.parent is None else _chain(step.parent, outcomes)


def _chain(number: int, outcomes: Sequence[Outcome | None]) -> Chain | None:
    outcome = outcomes[number]
    return None if outcome is None else outcome.chain
