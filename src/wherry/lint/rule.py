"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.lint.subject import Subject

WARNING = "warning"
"""A rule of the Dockerfile frontend: counted in the exit code of `--check`, and told by every build."""
ADVICE = "advice"
"""A rule of wherry's own: told by `--check`, counted with `--strict` alone."""


class Mark(NamedTuple):
    """A place that a rule objects to, and why; `message` names what is there."""

    where: Location
    message: str


class Rule(NamedTuple):
    """`reason` is one line, `fix` what to write instead; `bad` triggers this rule alone, `good` none.

    `files` are the context of both examples: path and content. An `experimental` rule runs only where
    `# check=experimental=NAME` asks for it.
    """

    name: str
    severity: str
    reason: str
    fix: str
    check: Callable[[Subject], Iterable[Mark]]
    bad: str
    good: str
    experimental: bool = False
    files: tuple[tuple[str, str], ...] = ()


class Finding(NamedTuple):
    rule: Rule
    where: Location
    message: str


def quoted(text: str) -> str:
    """As Go's %q writes plain text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
