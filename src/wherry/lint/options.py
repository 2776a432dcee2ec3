"""`# check=skip=A,B;experimental=C;error=true`, and the same of `--build-arg BUILDKIT_DOCKERFILE_CHECK`."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE
from wherry.dockerfile.parser import Node
from wherry.dockerfile.values import boolean
from wherry.lint.rule import Rule

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
ALL = "all"


class Options(NamedTuple):
    """`skip` and `experimental` may hold `all`. As in the frontend, experimental rules are never skipped."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def runs(self, rule: Rule) -> bool:
        if rule.experimental:
            return bool(self.experimental & {ALL, rule.name})
        return not self.skip & {ALL, rule.name}


def parse(text: str) -> Options:
    """Raises DockerfileError."""
    options = Options()
    for part in text.strip(SPACE).split(";", 2) if text.strip(SPACE) else ():
        name, equals, value = part.partition("=")
        name, value = name.strip(SPACE), value.strip(SPACE)
        if name == "error" and equals:
            options = options._replace(error=_boolean(part, value))
        elif name in ("skip", "experimental") and equals:
            names = frozenset(item.strip(SPACE) for item in value.split(","))
            options = options._replace(skip=names) if name == "skip" else options._replace(experimental=names)
        else:
            raise DockerfileError(
                f"invalid check option {(name if equals else part)!r}",
                hint="write check=skip=RuleName;error=true",
            )
    return options


def _boolean(part: str, value: str) -> bool:
    found = boolean(value)
    if found is None:
        raise DockerfileError(f"invalid check option {part!r}", hint="error is true or false")
    return found


def of_comments(node: Node) -> Options | None:
    """What a `# check=` comment right above an instruction says of it; a wrong one says nothing."""
    for comment in node.comments:
        name, equals, value = comment.partition("=")
        if equals and name.strip(SPACE).lower() == "check":
            try:
                return parse(value.strip(SPACE).split(" ")[0])
            except DockerfileError:
                return None
    return None
