"""Rules over a Dockerfile: which run, what they find."""

from __future__ import annotations

from wherry.base.errors import Location, WherryError
from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE, split_lines
from wherry.dockerfile.parser import Dockerfile
from wherry.lint import options as checks
from wherry.lint.options import Options
from wherry.lint.rule import WARNING, Finding, Rule
from wherry.lint.rules import arguments, instructions, naming
from wherry.lint.subject import Subject, Surroundings
from wherry.lint.walk import walk


class Report(NamedTuple):
    """`findings` by line. `error` is why the file cannot be built, as far as the text alone tells.

    `is_strict` is `error=true`: findings are to fail the build. `unknown_bases` are images that are not at
    hand, so that what they define is not known.
    """

    findings: tuple[Finding, ...]
    error: WherryError | None = None
    is_strict: bool = False
    unknown_bases: tuple[str, ...] = ()

    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.rule.severity == WARNING)

    def advice(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.rule.severity != WARNING)

    def violation(self) -> str:
        """The sentence that `error=true` ends a build with; "" where it has no reason to."""
        names = sorted({finding.rule.name for finding in self.warnings()}) if self.is_strict else []
        return f"lint violation found for rules: {', '.join(names)}" if names else ""


FRONTEND: tuple[Rule, ...] = (*naming.RULES, *arguments.RULES, *instructions.RULES)
"""The rules of the Dockerfile frontend, under its names and with its messages."""


def every_rule() -> tuple[Rule, ...]:
    """Those and wherry's own, whose modules are read only where they are asked for."""
    from wherry.lint.advice import RULES

    return (*FRONTEND, *RULES)


def check(dockerfile: Dockerfile, surroundings: Surroundings, *, advice: bool = False) -> Report:
    """Raises DockerfileError where the check options themselves are wrong."""
    options = _options(dockerfile, surroundings)
    rules = [rule for rule in (every_rule() if advice else FRONTEND) if options.runs(rule)]
    if not rules:
        return Report((), is_strict=options.error)
    subject = walk(dockerfile, surroundings)
    findings = [finding for rule in rules for finding in _findings(rule, subject)]
    allowed = _allowed(dockerfile, findings)
    allowed.sort(key=lambda finding: finding.where.line)
    return Report(tuple(allowed), subject.error, options.error, subject.unknown_bases)


def _options(dockerfile: Dockerfile, surroundings: Surroundings) -> Options:
    """The build argument counts instead of the directive, not on top of it."""
    given = surroundings.arguments.get(checks.ARGUMENT)
    try:
        return checks.parse(dockerfile.directives.get("check", "") if given is None else given)
    except DockerfileError as error:
        error.message = f"failed to parse check options: {error.message}"
        raise dockerfile.located(error, _directive(dockerfile)) if given is None else error from None


def _directive(dockerfile: Dockerfile) -> Location:
    """Where `# check=` stands; it has been found there once."""
    lines = split_lines(dockerfile.text)
    found = (n for n, line in enumerate(lines, 1) if line.strip(f"{SPACE}#").lower().startswith("check"))
    return Location(dockerfile.file, next(found, 1))


def _findings(rule: Rule, subject: Subject) -> list[Finding]:
    return [Finding(rule, mark.where, mark.message) for mark in rule.check(subject)]


def _allowed(dockerfile: Dockerfile, findings: list[Finding]) -> list[Finding]:
    """Those that no `# check=skip=` comment right above their instruction turns off."""
    lines = {finding.where.line for finding in findings}
    local = {
        node.start_line: found
        for node in dockerfile.instructions
        if node.start_line in lines and (found := checks.of_comments(node))
    }
    return [f for f in findings if f.where.line not in local or not _skipped(f, local[f.where.line])]


def _skipped(finding: Finding, options: Options) -> bool:
    return not finding.rule.experimental and not options.runs(finding.rule)
