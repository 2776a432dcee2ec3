"""What a Dockerfile takes and offers: the parameters of a target, and the targets. Pure.

The values of `--call=outline` and `--call=targets`, as BuildKit's frontend.outline and frontend.targets
have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wherry.base.errors import Location, NotFound
from wherry.base.tuples import NamedTuple
from wherry.dockerfile import instructions as ins
from wherry.dockerfile.errors import did_you_mean
from wherry.dockerfile.typed import Program
from wherry.lint.subject import Global, Stage, Step, Subject


class Parameter(NamedTuple):
    """A build argument; `value` is what it has in this build, "" for none."""

    name: str
    value: str
    description: str
    where: Location


class Loan(NamedTuple):
    """A secret or an ssh agent, by the name that `--secret id=` or `--ssh` gives it."""

    name: str
    required: bool
    where: Location


class Outline(NamedTuple):
    """All that the build of one target takes, by line. `name` is "" for a stage without one."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    secrets: tuple[Loan, ...]
    agents: tuple[Loan, ...]


class Target(NamedTuple):
    """A stage; `base` and `platform` are as they are written."""

    name: str
    description: str
    is_default: bool
    base: str
    platform: str
    where: Location


def outline(subject: Subject) -> Outline:
    """Of the target of `subject`, whose used stages are those that it needs and no others.

    Raises NotFound where there is no such target, and the error of the Dockerfile where it has one.
    """
    if subject.error:
        raise subject.error
    if subject.target < 0:
        raise _no_target(subject)
    base = subject.stages[subject.target].base
    # The target's own come first: of a name that several stages declare, its declaration counts.
    used = [stage for stage in reversed(subject.stages) if stage.is_used]
    steps = [step for stage in used for step in (*stage.triggered, *stage.steps)]
    return Outline(
        base.name,
        base.comment,
        _parameters(subject, used, steps),
        _loans(steps, "secret"),
        _loans(steps, "ssh"),
    )


def targets(program: Program) -> tuple[Target, ...]:
    """The stages in order; the last one is the default."""
    last = len(program.stages) - 1
    return tuple(
        Target(base.name, base.comment, number == last, base.image, base.platform, base.location)
        for number, (base, _) in enumerate(program.stages)
    )


def _parameters(subject: Subject, used: list[Stage], steps: list[Step]) -> tuple[Parameter, ...]:
    known = {argument.name: argument for argument in subject.arguments}
    wanted = [name for stage in used for name in (*stage.image.found, *stage.platform.found)]
    found: dict[str, Parameter] = {}
    for step in steps:
        if not isinstance(step.written, ins.Arg):
            continue
        for argument in step.written.arguments:
            if argument.default is None and argument.name in subject.global_names:
                # Declared again to be seen in the stage: the global declaration describes it. What the
                # builder itself predefines (TARGETOS) is nothing that a user has to give.
                wanted.append(argument.name)
                continue
            value = step.declared.get(argument.name) or ""
            found.setdefault(argument.name, Parameter(argument.name, value, argument.comment, step.where))
    for item in _with_defaults(known, wanted):
        found.setdefault(item.name, Parameter(item.name, item.value or "", item.comment, item.where))
    return tuple(sorted(found.values(), key=lambda parameter: parameter.where.line))


def _with_defaults(known: dict[str, Global], wanted: Iterable[str]) -> Iterator[Global]:
    """The global arguments `wanted`, and those that their defaults are made of."""
    pending, seen = list(wanted), set[str]()
    while pending:
        name = pending.pop()
        if name in known and name not in seen:
            seen.add(name)
            yield known[name]
            pending.extend(known[name].used)


def _loans(steps: list[Step], kind: str) -> tuple[Loan, ...]:
    """One for each name, where it is first asked for; required where one of its mounts says so."""
    found: dict[str, Loan] = {}
    for step in sorted(steps, key=lambda step: step.where.line):
        if not isinstance(step.instruction, ins.Run):
            continue
        for mount in step.instruction.mounts:
            if mount.kind == kind:
                first = found.get(mount.lent, Loan(mount.lent, False, step.where))
                found[mount.lent] = first._replace(required=first.required or mount.required)
    return tuple(found.values())


def _no_target(subject: Subject) -> NotFound:
    target = subject.surroundings.target
    names = [stage.base.name for stage in subject.stages if stage.base.name]
    hint = did_you_mean(target, names) or f"stages: {', '.join(names) or 'none named'}"
    return NotFound(f"target stage {target!r} could not be found", hint=hint)
