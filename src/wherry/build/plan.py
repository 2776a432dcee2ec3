"""Instructions -> stages -> a graph of steps, and the config that the image will have. Pure: no disk.

What an instruction means depends on the ones before it and on the base image's config (ENV, USER, WORKDIR,
ONBUILD), so bases are asked for as they are met, by the callable that the caller gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from wherry.base.errors import Location, NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import origins, times
from wherry.build.graph import Graph
from wherry.build.origins import Named, Wanted, no_context
from wherry.build.scope import Arguments
from wherry.build.stage import Planner, Recorded
from wherry.build.step import Step
from wherry.dockerfile.errors import DockerfileError, did_you_mean
from wherry.dockerfile.expansion import expanded
from wherry.dockerfile.instructions import Instruction, Onbuild, Stage
from wherry.dockerfile.parser import Dockerfile
from wherry.dockerfile.stages import StageNames, needed
from wherry.dockerfile.typed import Program, program, trigger
from wherry.dockerfile.words import expand
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, History, ImageConfig
from wherry.oci.platform import Platform

if TYPE_CHECKING:
    from wherry.build.solve import Outcome


class Aim(NamedTuple):
    """One image that is to be made: its files are what the step `last` leaves. `base` is of the image that
    the target's chain of stages begins with; None for scratch."""

    last: int
    execution: Execution
    base: ImageConfig | None
    platform: Platform
    history: tuple[Recorded, ...]
    author: str


class Plan(NamedTuple):
    """`steps` in an order in which each comes behind all that it needs; `aims` in the order of the platforms
    that are wanted. `uncached` are the numbers of the steps whose results are not to be looked up."""

    steps: tuple[Step, ...]
    aims: tuple[Aim, ...]
    unused_arguments: tuple[str, ...]
    uncached: frozenset[int] = frozenset()


def plan(dockerfile: Dockerfile, *wanted: Wanted) -> Plan:
    """The graph for the stage that is wanted and the stages that it needs; others are left out.

    There is one `Wanted` for each platform. What is the same for several of them, as a stage of
    `FROM --platform=$BUILDPLATFORM` often is, is there once. Raises DockerfileError with the place and the
    source lines.
    """
    _refuse_zero_bytes(dockerfile)
    parsed = program(dockerfile)
    graph = Graph()
    aims: list[Aim] = []
    uncached: set[int] = set()
    for each in wanted:
        try:
            aims.append(_aim(parsed, dockerfile, each, graph, uncached))
        except WherryError as error:
            if error.where is not None and each.is_one_of_several:
                error.message += f" (for {each.platform})"
            if error.where is not None and isinstance(error, DockerfileError):
                raise dockerfile.located(error, error.where) from None
            raise
    _refuse_equal(aims, wanted)
    unused = set.intersection(*(set(each.arguments.unused()) for each in wanted))
    return Plan(tuple(graph.steps), tuple(aims), tuple(sorted(unused)), frozenset(uncached))


def _aim(parsed: Program, dockerfile: Dockerfile, wanted: Wanted, graph: Graph, no_lookup: set[int]) -> Aim:
    """Adds the steps for one platform to `graph`, and those of `uncached_stages` to `no_lookup`."""
    arguments = wanted.arguments
    _declare_globals(parsed, dockerfile, arguments)
    stages = [_with_base(stage, dockerfile, arguments) for stage in parsed.stages]
    names = StageNames(stage.base.name for stage in stages)
    chosen = _target(stages, names, wanted.target)
    uncached = [number for name in wanted.uncached_stages for number in _called(stages, names, name)]
    replaced = _replaced(stages, wanted)

    def parent(number: int) -> int:
        return -1 if number in replaced else names.named(stages[number].base.image, number)

    def instructions(number: int) -> Sequence[Instruction]:
        if number in replaced:
            return ()
        return (*triggers(number), *stages[number].instructions)

    def triggers(number: int) -> Sequence[Instruction]:
        """ONBUILD of what a stage stands on: such instructions name stages of this file, and need them."""
        base, above = stages[number].base, parent(number)
        if above in replaced:
            return ()
        if above >= 0:
            return [item.trigger for item in stages[above].instructions if isinstance(item, Onbuild)]
        platform = platforms.parse(base.platform) if base.platform else wanted.platform
        image = origins.find(base.image, base.location, platform, wanted).image
        return [trigger(text) for text in image.config.execution.onbuild] if image else ()

    planners: dict[int, Planner] = {}
    for number in sorted(needed(chosen, parent, instructions, names)):
        planner = planners[number] = Planner(graph, wanted, dockerfile.escape, _label(stages, number))
        if number in replaced:
            planner.replace(stages[number].base, replaced[number])
            continue
        planner.begin(stages[number], planners.get(parent(number)))
        planner.follow(stages[number].instructions, partial(_origin, names, planners, number))
    for number in uncached:
        if number in planners:
            no_lookup |= planners[number].steps
    last = planners[chosen]
    return Aim(last.step, last.execution, last.base, last.platform, last.history(), last.author)


def _refuse_equal(aims: Sequence[Aim], wanted: Sequence[Wanted]) -> None:
    """An index has one image for each platform."""
    made: dict[Platform, Platform] = {}
    for aim, each in zip(aims, wanted, strict=True):
        if aim.platform in made:
            raise WherryError(
                f"the images for {made[aim.platform]} and {each.platform} would both be for {aim.platform}",
                hint="leave --platform out of the last stage's FROM",
            )
        made[aim.platform] = each.platform


def _refuse_zero_bytes(dockerfile: Dockerfile) -> None:
    """No path, no argument and no variable of a process can have one."""
    text = dockerfile.text
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        error = DockerfileError("there is a zero byte in this line", hint="is this a text file, in UTF-8?")
        raise dockerfile.located(error, Location(dockerfile.file, line, line))


def _declare_globals(parsed: Program, dockerfile: Dockerfile, arguments: Arguments) -> None:
    for instruction in parsed.arguments:
        for argument in instruction.arguments:
            default = argument.default
            try:
                default = default and expand(default, arguments.lookup_global, dockerfile.escape)
            except DockerfileError as error:
                raise dockerfile.located(error, instruction.location) from None
            arguments.declare_global(argument.name, default)


def _with_base(stage: Stage, dockerfile: Dockerfile, arguments: Arguments) -> Stage:
    base = expanded(stage.base, arguments.lookup_global, dockerfile.escape)
    if not base.image:
        raise DockerfileError(
            f"base name ({stage.base.image}) should not be blank",
            where=base.location,
            hint="give its ARG a default before FROM, or --build-arg",
        )
    if base.platform:
        try:
            platforms.parse(base.platform)
        except WherryError as error:
            error.where = base.location
            raise
    return stage._replace(base=base)


def _replaced(stages: list[Stage], wanted: Wanted) -> dict[int, Named]:
    """The stages whose name is that of a named context, which stands for all of such a stage."""
    found: dict[int, Named] = {}
    if wanted.find_context is no_context:
        return found
    for index, (base, _) in enumerate(stages):
        if base.name:
            platform = platforms.parse(base.platform) if base.platform else wanted.platform
            context = wanted.find_context(base.name, platform)
            if context is not None:
                found[index] = context
    return found


def _target(stages: list[Stage], names: StageNames, target: str) -> int:
    found = names.target(target)
    if found < 0:
        raise NotFound(f"target stage {target!r} could not be found", hint=_meant(stages, target))
    return found


def _called(stages: list[Stage], names: StageNames, name: str) -> tuple[int, ...]:
    found = names.called(name)
    if not found:
        raise NotFound(f"--no-cache-filter: there is no stage {name!r}", hint=_meant(stages, name))
    return found


def _meant(stages: list[Stage], name: str) -> str:
    known = list(dict.fromkeys(stage.base.name for stage in stages if stage.base.name))
    return did_you_mean(name, known) or f"stages: {', '.join(known) or 'none named'}"


def _origin(names: StageNames, planners: dict[int, Planner], before: int, name: str) -> Planner | None:
    """The stage that `--from=name` means; None: an image or a context."""
    found = names.source(name, before)
    late = names.too_late(name, before) if found < 0 else -1
    if late == before:
        raise DockerfileError(f"stage {name!r} cannot take files from itself", hint="RUN cp has them already")
    if late >= 0:
        hint = "a stage has to stand before those that take files from it"
        raise DockerfileError(f"stage {name!r} comes later in the file", hint=hint)
    return planners.get(found)


def _label(stages: list[Stage], number: int) -> str:
    """As BuildKit calls it in progress; nothing where there is only one stage."""
    return stages[number].base.name or ("" if len(stages) == 1 else f"stage-{number}")


def config_of(
    aim: Aim, outcomes: Sequence[Outcome], more_labels: tuple[tuple[str, str], ...], epoch: int
) -> ImageConfig:
    """An image's config: its bytes depend on the inputs of the build and on nothing else."""
    created = times.rfc3339(epoch)
    labels = dict(aim.execution.labels) | dict(more_labels)
    return ImageConfig(
        platform=aim.platform,
        execution=aim.execution._replace(labels=tuple(labels.items())),
        diff_ids=outcomes[aim.last].chain,
        history=(
            *(aim.base.history if aim.base else ()),
            *(_history(recorded, outcomes, created) for recorded in aim.history),
        ),
        created=created,
        author=aim.author,
    )


def _history(recorded: Recorded, outcomes: Sequence[Outcome], created: str) -> History:
    is_empty = recorded.step is None or outcomes[recorded.step].layer is None
    return History(created, recorded.text, is_empty, "wherry")
