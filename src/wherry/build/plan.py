"""Instructions -> stages -> a graph of steps, and the config that the image will have. Pure: no disk.

What an instruction means depends on the ones before it and on the base image's config (ENV, USER, WORKDIR,
ONBUILD), so bases are asked for as they are met, by the callable that the caller gives.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from wherry.base.errors import NotFound
from wherry.build.graph import Graph
from wherry.build.scope import Arguments
from wherry.build.stage import Planner, Recorded, Wanted
from wherry.build.step import Step
from wherry.dockerfile.errors import DockerfileError, did_you_mean
from wherry.dockerfile.expansion import expanded
from wherry.dockerfile.instructions import Copy, Instruction, Run, Stage
from wherry.dockerfile.parser import Dockerfile
from wherry.dockerfile.typed import Program, program
from wherry.dockerfile.values import stage_number
from wherry.dockerfile.words import expand
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.platform import Platform


class Plan(NamedTuple):
    """`steps` in an order in which each comes behind all that it needs; the image is what `last` leaves."""

    steps: tuple[Step, ...]
    last: int
    execution: Execution
    base: ImageConfig | None
    """Of the image that the target's chain of stages begins with; None for scratch."""
    platform: Platform
    history: tuple[Recorded, ...]
    author: str
    unused_arguments: tuple[str, ...]


def plan(dockerfile: Dockerfile, wanted: Wanted) -> Plan:
    """The graph for the stage that is wanted and the stages that it needs; others are left out.

    Raises DockerfileError with the place and the source lines.
    """
    parsed = program(dockerfile)
    try:
        return _plan(parsed, dockerfile, wanted)
    except DockerfileError as error:
        raise dockerfile.located(error, error.where) if error.where else error from None


def _plan(parsed: Program, dockerfile: Dockerfile, wanted: Wanted) -> Plan:
    arguments = wanted.arguments
    _declare_globals(parsed, dockerfile, arguments)
    stages = [_with_base(stage, dockerfile, arguments) for stage in parsed.stages]
    chosen = _target(stages, wanted.target)
    graph = Graph()
    planners: dict[int, Planner] = {}
    for number in sorted(_needed(stages, chosen)):
        planner = Planner(graph, wanted, dockerfile.escape, _label(stages, number))
        planner.begin(stages[number], planners.get(_stage_named(stages, stages[number].base.image, number)))
        planner.follow(stages[number].instructions, partial(_origin, stages, planners, number))
        planners[number] = planner
    last = planners[chosen]
    return Plan(
        tuple(graph.steps),
        last.step,
        last.execution,
        last.base,
        last.platform,
        tuple(last.history),
        last.author,
        tuple(arguments.unused()),
    )


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
    return stage._replace(base=base)


def _target(stages: list[Stage], target: str) -> int:
    if not target:
        return len(stages) - 1
    names = [stage.base.name for stage in stages]
    if target.lower() in names:
        # The last one of a name counts, as for COPY --from.
        return len(names) - 1 - names[::-1].index(target.lower())
    number = stage_number(target, len(stages))
    if number >= 0:
        return number
    hint = (
        did_you_mean(target, filter(None, names))
        or f"stages: {', '.join(filter(None, names)) or 'none named'}"
    )
    raise NotFound(f"target stage {target!r} could not be found", hint=hint)


def _stage_named(stages: list[Stage], name: str, before: int) -> int:
    """The last stage called `name` before the stage `before`; -1 where there is none."""
    for number in range(before - 1, -1, -1):
        if stages[number].base.name and stages[number].base.name == name.lower():
            return number
    return -1


def _source_stage(stages: list[Stage], name: str, before: int) -> int:
    """As `_stage_named`, by number too: what COPY --from may say."""
    number = stage_number(name, before)
    return number if number >= 0 else _stage_named(stages, name, before)


def _needed(stages: list[Stage], chosen: int) -> set[int]:
    needed: set[int] = set()
    pending = [chosen]
    while pending:
        number = pending.pop()
        if number < 0 or number in needed:
            continue
        needed.add(number)
        pending.append(_stage_named(stages, stages[number].base.image, number))
        for instruction in stages[number].instructions:
            for origin in _origins(instruction):
                pending.append(_source_stage(stages, origin, number))
    return needed


def _origins(instruction: Instruction) -> list[str]:
    """What its `from` options name: stages, and what is none."""
    if isinstance(instruction, Copy):
        return [instruction.origin] if instruction.origin else []
    if isinstance(instruction, Run):
        return [mount.origin for mount in instruction.mounts if mount.origin]
    return []


def _origin(stages: list[Stage], planners: dict[int, Planner], before: int, name: str) -> Planner | None:
    """The stage that `--from=name` means; None: an image."""
    return planners.get(_source_stage(stages, name, before))


def _label(stages: list[Stage], number: int) -> str:
    """As BuildKit calls it in progress; nothing where there is only one stage."""
    return stages[number].base.name or ("" if len(stages) == 1 else f"stage-{number}")
