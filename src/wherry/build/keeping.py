"""Keeping a build at its end: its plan, how its steps went, and the state of the one that failed.

Nothing that is lent to a build is kept: no secret, no agent, no proxy. This is on every build's way, so it
imports nothing that such a build does not need anyway.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.base import values
from wherry.base.errors import WherryError
from wherry.build import document
from wherry.build.account import Account, written
from wherry.build.kept import Build, Failure, Place
from wherry.build.legible import redacted
from wherry.build.options import Options
from wherry.build.plan import Plan
from wherry.build.solve import Chain, Outcome
from wherry.build.step import Base, Copy, Step
from wherry.oci.digest import Digest
from wherry.store.builds import Builds
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.blueprint import Blueprint
    from wherry.build.left import Left


def succeeded(
    store: Store,
    plan: Plan,
    outcomes: Sequence[Outcome],
    options: Options,
    image: Digest,
    account: Account,
) -> None:
    """Keep the plan of a build, and how it went; where that cannot be, the build is no worse for it."""
    build = _build(_places(plan, outcomes), options)._replace(image=image)
    if len(plan.aims) > 1:
        build = build._replace(ends=tuple(aim.last for aim in plan.aims))
    builds = Builds(store)
    try:
        account = _completed(builds, build, account)
        builds.keep_succeeded(document.written(build), written(account))
    except (OSError, WherryError):
        pass


def blueprint(store: Store, image: Digest, drawn: Blueprint) -> None:
    """Keep what an image of the store was built from; where that cannot be, the build is no worse.

    A Dockerfile or an argument with a password in a URL is not written to the disk.
    """
    from wherry.store import blueprints

    texts = (drawn.text, *(value for _, value in drawn.arguments))
    if store.images.has(image) and all(redacted(text) == text for text in texts):
        try:
            blueprints.keep(store, image, values.encode(drawn))
        except OSError:
            pass


def failed(
    store: Store,
    plan: Plan,
    outcomes: Sequence[Outcome | None],
    options: Options,
    step: Step,
    error: WherryError,
    left: Left | None,
    account: Account,
) -> None:
    """Keep a build with the state of its failed step, and say in `error` how to enter it.

    Where that cannot be, `error` says so: it is still the one to tell.
    """
    failure = Failure(step.number, error.message)
    if left:
        failure = Failure(step.number, left.why, left.code, left.log, left.withheld)
    places = _places(plan, outcomes)
    place = places[step.number]
    layers = {layer for chain in (place.parent or (), *place.inputs) for layer in chain}
    build = _build(places, options)._replace(failure=failure)
    builds = Builds(store)
    try:
        account = _completed(builds, build, account)
        error.kept = builds.keep_failed(
            document.written(build), written(account), tuple(sorted(layers)), left.path if left else ""
        )
    except (OSError, WherryError) as problem:
        _add_hint(error, f"its state could not be kept: {_words(problem)}")
        return
    if left:
        _add_hint(error, f"enter the step as it failed: wherry debug {builds.shortest(error.kept)}")


def _completed(builds: Builds, build: Build, account: Account) -> Account:
    if all(went.miss is None for went in account.steps):
        return account
    # Imported where something was executed: a build with nothing to do has nothing to compare.
    from wherry.build import comparing

    return comparing.completed(builds, build, account)


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
    return tuple(place(step, outcomes) for step in plan.steps)


def place(step: Step, outcomes: Sequence[Outcome | None]) -> Place:
    """What is kept of a step; where it began, if the build came so far."""
    place = Place(
        step.name,
        step.where,
        step.platform,
        step.scene.run,
        step.scene.shell,
        kind=type(step.operation).__name__,
        needs=() if step.parent is None else (step.parent, *step.inputs),
        copy=_legible(step.operation) if isinstance(step.operation, Copy) else None,
        arguments=step.scene.arguments,
    )
    chains = [_chain(number, outcomes) for number in step.inputs]
    parent = _parent(step, outcomes)
    if parent is not None and None not in chains:
        place = place._replace(parent=parent, inputs=tuple(chain for chain in chains if chain is not None))
    return place


def _legible(operation: Copy) -> Copy:
    """Without passwords in the addresses of what was fetched."""
    remotes = tuple(remote._replace(text=redacted(remote.text)) for remote in operation.remotes)
    return operation._replace(patterns=tuple(map(redacted, operation.patterns)), remotes=remotes)


def _parent(step: Step, outcomes: Sequence[Outcome | None]) -> Chain | None:
    """What the step began with; of FROM, the base itself."""
    if isinstance(step.operation, Base):
        return step.operation.diff_ids
    return () if step.parent is None else _chain(step.parent, outcomes)


def _chain(number: int, outcomes: Sequence[Outcome | None]) -> Chain | None:
    outcome = outcomes[number]
    return None if outcome is None else outcome.chain
