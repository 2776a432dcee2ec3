"""The image that comes out: who it runs as, and whether anyone can tell that it works."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.lint.advice.example import BASE, example
from wherry.lint.rule import ADVICE, Mark, Rule
from wherry.lint.subject import Stage, Subject


def _shipped(subject: Subject) -> Iterator[Stage]:
    if subject.target >= 0 and subject.stages[subject.target].is_used:
        yield subject.stages[subject.target]


def _root(subject: Subject) -> Iterator[Mark]:
    for stage in _shipped(subject):
        if stage.user.partition(":")[0] in ("", "root", "0"):
            reason = f"USER {stage.user}" if stage.user else "there is no USER"
            yield Mark(stage.where, f"the image runs as root: {reason}")


def _no_healthcheck(subject: Subject) -> Iterator[Mark]:
    for stage in _shipped(subject):
        if stage.exposes and not stage.has_healthcheck:
            yield Mark(stage.where, "the image EXPOSEs a port and has no HEALTHCHECK")


RULES = (
    Rule(
        "RunsAsRoot",
        ADVICE,
        "Whoever breaks into a process of root has all rights in the container, and better chances outside",
        "make a user and name it with USER before CMD",
        _root,
        f'FROM {BASE}\nCMD ["app"]\n',
        f'FROM {BASE}\nUSER app\nCMD ["app"]\n',
    ),
    Rule(
        "NoHealthcheck",
        ADVICE,
        "A service that hangs looks the same as one that works, unless something asks it",
        "write HEALTHCHECK CMD [...], or HEALTHCHECK NONE where something else asks",
        _no_healthcheck,
        example("EXPOSE 8080"),
        example('EXPOSE 8080\nHEALTHCHECK CMD ["app", "--check"]'),
    ),
)
