"""A build, as a recipe: read, plan, solve, export."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from wherry.base.errors import UsageError, WherryError
from wherry.base.events import Emit, Note, ignore
from wherry.base.tuples import NamedTuple
from wherry.build import account as accounts
from wherry.build import definition as definitions
from wherry.build import exporting, keeping, linting, scope, sources, times
from wherry.build import plan as planning
from wherry.build.bases import Bases
from wherry.build.context import Context
from wherry.build.control import Control
from wherry.build.definition import Definition
from wherry.build.filedigests import FileDigests
from wherry.build.options import Options
from wherry.build.origins import Wanted, no_context
from wherry.build.plan import Plan
from wherry.build.records import Recorder
from wherry.build.solve import Outcome, look_up, solve
from wherry.build.sources import Sources
from wherry.build.times import Times
from wherry.build.worker import Worker
from wherry.dockerfile import parser
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns
from wherry.dockerfile.parser import Dockerfile
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.runtime.spec import Conditions
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.blueprint import Blueprint
    from wherry.build.carry.export import Exports
    from wherry.build.carry.imports import Imports
    from wherry.build.carry.spec import Place, Target
    from wherry.build.execute import Executor
    from wherry.build.fetching import Fetcher
    from wherry.build.named import Contexts
    from wherry.build.verify import Variation
    from wherry.oci.descriptor import Descriptor


class Built(NamedTuple):
    """What a build gave; `executed` counts the steps that were not reused.

    `top`: the manifest or the index that `-o` wrote or pushed; None where it did not. `images`: of all
    platforms, in the order in which they were asked for; `image` is the one for this machine, else the first.
    """

    image: Digest
    steps: int
    executed: int
    seconds: float
    top: Descriptor | None = None
    images: tuple[Digest, ...] = ()


class Planned(NamedTuple):
    """What is to be done, out of what, and where results are looked up.

    `sources` and `recorder` are open, and are used by several threads at once.
    """

    store: Store
    options: Options
    plan: Plan
    sources: Sources
    recorder: Recorder


def build(store: Store, options: Options, emit: Emit = ignore) -> Built:
    """Build the image that `options` ask for and give it its names.

    Raises WherryError; then nothing is named, and a name that an image had stays with it.
    """
    began = time.monotonic()
    _check_together(options)
    places, targets = _caches(options)
    if options.conditions != Conditions():
        from wherry.runtime.conditions import checked

        options = options._replace(conditions=checked(options.conditions))
    given = scope.given(options.arguments, os.environ)
    given_times = times.times(given.get("SOURCE_DATE_EPOCH"), options.timestamps)
    exporting.check(options, given_times)
    with definitions.opened(store, options, emit) as definition:
        dockerfile = parser.parse(definition.text, definition.name)
        with (
            store.lease(),
            _sources_shown(dockerfile),
            linting.warned(store, options, emit) as check,
            _imports(store, places, options, emit) as imports,
        ):
            named = sources.contexts(options.contexts)
            bases = Bases(store, options.pull, emit, options.tls_verify)
            plan = planning.plan(dockerfile, *_wanted(bases, options, given, named))
            with (
                _context(store, definition) as context,
                closing(_sources(store, context, named, options, emit)) as opened,
            ):
                check(dockerfile, given, definition)
                recorder = _recorder(store, plan, opened, options, given_times, imports)
                planned = Planned(store, options, plan, opened, recorder)
                executor = partial(_executor, planned, scope.proxies_of(given))
                outcomes = _solve(planned, executor, emit)
                if options.verify:
                    _verify(planned, outcomes, executor, emit)
            exports = _exports(planned, outcomes, targets, emit)
            made = exporting.images(store, plan, outcomes, options, given_times.epoch, exports)
            exported = exporting.export(store, made, options, given_times, len(plan.steps) + 1, emit)
            account = accounts.account(outcomes, time.monotonic() - began, given_times)
            keeping.succeeded(store, plan, outcomes, options, exported.image, account)
            if not options.contexts:
                draw = partial(_blueprint, planned, outcomes, definition, bases, given)
                _keep_blueprints(store, options, exported.images, draw)
            if exports:
                exports.write()
            emit(accounts.tally([step.name for step in plan.steps], account))
    for name in plan.unused_arguments:
        emit(Note("warning", f"build argument {name!r} is not used by the Dockerfile"))
    executed = sum(not outcome.cached for outcome in outcomes)
    seconds = time.monotonic() - began
    return Built(exported.image, len(outcomes), executed, seconds, exported.top, exported.images)


def _check_together(options: Options) -> None:
    """Options that contradict each other."""
    if options.squash and any("inline" in text for text in options.cache_to):
        raise UsageError(
            "--squash leaves no layer for a cache of type=inline to speak of",
            hint="--cache-to type=registry or type=local",
        )
    if options.verify and options.cache_from:
        raise UsageError(
            "--verify executes every step, and results of --cache-from come without all that they stand on",
            hint="leave --cache-from out",
        )


@contextmanager
def _sources_shown(dockerfile: Dockerfile) -> Iterator[None]:
    """Errors that happen at an instruction show its lines, above what else they have to show."""
    try:
        yield
    except DockerfileError:
        raise
    except WherryError as error:
        if error.where is not None and error.where.file == dockerfile.file:
            source = dockerfile.excerpt(error.where)
            error.excerpt = f"{source}\n\n{error.excerpt}" if error.excerpt else source
        raise


@contextmanager
def _context(store: Store, definition: Definition) -> Iterator[Context]:
    root = os.path.realpath(definition.folder)
    digests = FileDigests(store.path("cache"), root)
    if definition.ignored is None:
        context = Context(root, Patterns.parse(""), digests, definition.label, settled=True)
    else:
        context = Context(root, definition.ignored, digests, definition.label)
    try:
        yield context
    finally:
        context.save()
        context.close()


def _wanted(bases: Bases, options: Options, given: dict[str, str], named: Contexts | None) -> list[Wanted]:
    """What planning is given for each platform."""
    find_context = partial(named.find, bases) if named else no_context
    here = platforms.host()
    return [
        Wanted(
            options.target,
            platform,
            scope.Arguments(given, scope.of_platform(platform, here, options.target)),
            bases.find,
            find_context,
            options.uncached_stages,
            len(options.platforms) > 1,
        )
        for platform in options.wanted
    ]


def _sources(store: Store, context: Context, named: Contexts | None, options: Options, emit: Emit) -> Sources:
    def fetcher() -> Fetcher:
        # Imported when there is something to fetch: a connection costs more than a build with nothing to do.
        from wherry.build.fetching import Fetcher

        return Fetcher(store, emit, options.secrets)

    return Sources(store, context, named, fetcher)


def _caches(options: Options) -> tuple[tuple[Place, ...], tuple[Target, ...]]:
    """Where caches of other machines are read and written."""
    if not (options.cache_from or options.cache_to):
        return (), ()
    from wherry.build.carry import spec

    verify = options.tls_verify
    sources = tuple(spec.source(text, verify) for text in options.cache_from)
    return sources, tuple(spec.target(text, verify) for text in options.cache_to)


@contextmanager
def _imports(
    store: Store, places: tuple[Place, ...], options: Options, emit: Emit
) -> Iterator[Imports | None]:
    if not places:
        yield None
        return
    from wherry.build.carry.imports import Imports

    with closing(Imports(store, places, options.wanted, emit)) as imports:
        yield imports


def _exports(
    planned: Planned, outcomes: list[Outcome], targets: tuple[Target, ...], emit: Emit
) -> Exports | None:
    if not targets:
        return None
    from wherry.build.carry.export import Exports
    from wherry.runtime import modes

    modes.enter_as_user()
    return Exports(planned.store, planned.plan, outcomes, planned.recorder, targets, emit)


def _recorder(
    store: Store, plan: Plan, sources: Sources, options: Options, times: Times, imports: Imports | None
) -> Recorder:
    since = None if options.refresh is None else time.time() - options.refresh
    control = Control(options.no_cache, plan.uncached, since)
    return Recorder(store, sources, times, options.isolation, options.exact_cache, control, imports)


def _solve(planned: Planned, executor: Callable[[Emit], Executor], emit: Emit) -> list[Outcome]:
    store, options, plan, recorder = planned.store, planned.options, planned.plan, planned.recorder
    began = time.monotonic()
    worker = Worker(recorder, partial(executor, emit))
    if not options.no_cache:
        planned.sources.look_up(plan.steps)
    outcomes: list[Outcome | None] = [None] * len(plan.steps)
    try:
        if recorder.imports and not options.no_cache:
            recorder.imports.look_up(plan, outcomes, partial(look_up, plan.steps, worker, emit, outcomes))
        return solve(plan.steps, worker, emit, options.jobs, outcomes)
    except WherryError as error:
        if step := worker.failed(error):
            account = accounts.account(outcomes, time.monotonic() - began, recorder.times)
            account = accounts.with_step(account, step.number, worker.failure_of(step))
            keeping.failed(store, plan, outcomes, options, step, error, worker.left_by(step), account)
            if len(plan.aims) > 1:
                error.message += f" (for {step.platform})"
        raise
    finally:
        worker.close()


def _executor(
    planned: Planned,
    proxies: tuple[tuple[str, str], ...],
    emit: Emit,
    variation: Variation | None = None,
) -> Executor:
    # Imported on the first step that has to be executed: it costs more than a build with nothing to do.
    from wherry.build import starting

    return starting.executor(planned, proxies, emit, variation)


def _verify(planned: Planned, outcomes: list[Outcome], executor: Callable[..., Executor], emit: Emit) -> None:
    from wherry.build import verify

    again = partial(executor, variation=verify.variation())
    verify.verify(planned.store, planned.plan.steps, outcomes, again, planned.options.jobs, emit)


def _keep_blueprints(
    store: Store, options: Options, images: Sequence[Digest], draw: Callable[[Platform], Blueprint]
) -> None:
    """Of the images that have none yet."""
    for platform, image in zip(options.wanted, images, strict=True):
        if not os.path.exists(store.blueprint(image)):
            keeping.blueprint(store, image, draw(platform))


def _blueprint(
    planned: Planned,
    outcomes: Sequence[Outcome],
    definition: Definition,
    bases: Bases,
    given: dict[str, str],
    platform: Platform,
) -> Blueprint:
    from wherry.build import blueprint

    recorder = planned.recorder
    drawn = blueprint.drawn(definition, planned.options, platform, given, recorder.times)
    return drawn._replace(
        origins=blueprint.origins(bases.found, planned.store.blobs.read),
        steps=blueprint.known(planned.plan.steps, outcomes, recorder.taken, recorder.times),
    )
