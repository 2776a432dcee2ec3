"""Parser directives: `# escape=`, `# syntax=` and `# check=` before anything else in the file."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE

NAMES = ("syntax", "escape", "check")
_BLANK = "\t\n\f\r "  # Go's \s


class Directives(NamedTuple):
    """`values` by lower-case name; `lines` is how many lines they take."""

    values: dict[str, str]
    escape: str
    lines: int


class DirectiveError(DockerfileError):
    """A directive given twice, or an escape that is neither backslash nor backtick; `line` from 1."""

    def __init__(self, message: str, line: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line


def read(lines: list[str]) -> Directives:
    """The directives that the frontend obeys: each once, and none after another line of any kind.

    A blank line, another comment and a `#!` line end them too.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(lines):
        found = _directive(line.lstrip(SPACE), "#")
        if found is None:
            return _checked(values, number)
        name, value = found
        if name in values:
            raise DirectiveError(f"only one {name} parser directive can be used", number + 1)
        if name == "escape" and value not in ("\\", "`"):
            raise DirectiveError(
                f"invalid escape token '{value}' does not match ` or \\",
                number + 1,
                hint="write '# escape=`' or leave the directive out",
            )
        values[name] = value
    return _checked(values, len(lines))


def _checked(values: dict[str, str], lines: int) -> Directives:
    return Directives(values, values.get("escape", "\\"), lines)


def detect(text: str, name: str) -> str:
    """A directive's value as the frontend looks it up before it parses, or "".

    A `#!` line is skipped. `syntax` may also stand in `//` comments, or be a key of a file that
    is a JSON object, so that files which are no Dockerfiles can name the frontend that reads them.
    """
    if text.startswith("#!"):
        text = text.partition("\n")[2]
    value = _leading(text, "#").get(name, "")
    if name != "syntax" or value:
        return value
    return _leading(text, "//").get(name, "") or _from_json(text, name)


def _leading(text: str, comment: str) -> dict[str, str]:
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        found = _directive(text[position:end], comment)
        if found is None or found[0] in values:
            break
        values[found[0]] = found[1]
        position = end + 1
    return values


def _directive(line: str, comment: str) -> tuple[str, str] | None:
    if not line.startswith(comment):
        return None
    line = line[len(comment) :].lstrip(SPACE).rstrip("\r")
    key, equals, rest = line.partition("=")
    name = key.rstrip(_BLANK).lower()
    if not equals or name not in NAMES:
        return None
    # The frontend's pattern wants a value of one character at least, be it a blank.
    value = rest.strip(_BLANK) or rest[-1:]
    return (name, value) if value else None


def _from_json(text: str, name: str) -> str:
    if not text.lstrip(_BLANK).startswith("{"):
        return ""
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
