"""`.dockerignore` files: which paths of a build context are left out.

The rules are those of moby/patternmatcher: a pattern is anchored at the context's root and also holds
for all that lies below what it matches; `*` and `?` stop at slashes, `**` does not; of all patterns that
match a path the last decides, and `!` makes it one that keeps the path.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from itertools import groupby

from wherry.base.errors import Location
from wherry.base.source import excerpt
from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.lexer import SPACE, decode, split_lines

# What a pattern is made of.
_LITERAL = "literal"
_ONE = "one"  # any one character but a slash, one of a class, or one that is escaped
_CLASS = "class"  # one of a class that has the slash
_STAR = "star"
_DOUBLE = "double"  # with "/" as its regex where a slash stands behind it
_SLASH = "slash"


class _Token(NamedTuple):
    """A piece of a pattern; `regex` is what matches it, where it is one character or a class."""

    kind: str
    regex: str = ""


class _Pattern(NamedTuple):
    text: str  # clean, with its !
    keeps: bool  # written with !
    regex: str  # of the path or of one of its parents; "" where no regular expression is fast enough
    tokens: tuple[_Token, ...]


class _Group(NamedTuple):
    """Neighbouring patterns of one sign."""

    keeps: bool
    regex: re.Pattern[str]
    patterns: tuple[_Pattern, ...]
    slow: tuple[_Pattern, ...]  # those of them without a regular expression

    def matches(self, path: str) -> bool:
        return self.regex.match(path) is not None or any(_matches(p.tokens, path) for p in self.slow)


class Patterns:
    """The patterns of one file, compiled once: a few microseconds for each path.

    `patterns` is their text: two files with the same patterns leave out the same paths.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Patterns as `COPY --exclude` gives them. Raises DockerfileError for a malformed one."""
        found = [pattern for text in patterns if (pattern := _pattern(text.strip(SPACE)))]
        self._take(found)

    @classmethod
    def parse(cls, text: bytes | str, file: str = ".dockerignore") -> Patterns:
        """An ignore file's patterns. Raises DockerfileError with the line of a malformed one."""
        lines = split_lines(decode(text))
        patterns: list[_Pattern] = []
        for number, line in enumerate(lines, 1):
            try:
                found = _pattern(_line(line))
                patterns += [found] if found else []
            except DockerfileError as error:
                error.where = Location(file, number, number)
                error.excerpt = excerpt(lines, number, number)
                raise
        read = cls()
        read._take(patterns)
        return read

    def _take(self, patterns: list[_Pattern]) -> None:
        self.patterns = [pattern.text for pattern in patterns]
        self._groups = _grouped(patterns)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def keeps_any(self) -> bool:
        """Whether a pattern is written with `!`."""
        return any(group.keeps for group in self._groups)

    def excludes(self, path: str) -> bool:
        """Whether `path`, relative to the root and clean (no `./`, no slash at the end), is left out."""
        if path in ("", "."):
            return False
        for group in self._groups:
            if group.matches(path):
                return not group.keeps
        return False

    def may_keep_below(self, folder: str) -> bool:
        """Whether something below `folder` can be kept; where not, a walk need not enter it.

        May be wrong in one direction only: True, and nothing is kept.
        """
        if not self.excludes(folder):
            return True
        components = folder.split("/")
        for group in self._groups:
            if not group.keeps and group.matches(folder):
                return False  # holds for all below too, and no pattern behind it keeps any of that
            if group.keeps and any(_reaches_below(pattern, components) for pattern in group.patterns):
                return True
        return False


def _line(line: str) -> str:
    """One line as a pattern: clean, without its leading slash; "" for a comment or a blank line."""
    if line.startswith("#"):
        return ""
    text = line.strip(SPACE)
    sign = "!" if text.startswith("!") else ""
    text = text.removeprefix("!").strip(SPACE)
    if text:
        text = _clean(text)
        text = text[1:] if len(text) > 1 and text.startswith("/") else text
    return sign + text


def _clean(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/") if path.startswith("/") else path)


def _pattern(text: str) -> _Pattern | None:
    if not text:
        return None
    text = _clean(text)
    if text == "!":
        raise DockerfileError('illegal exclusion pattern: "!"', hint="write what to keep behind the !")
    tokens = _tokens(text.removeprefix("!"))
    return _Pattern(text, text.startswith("!"), _regex(tokens), tokens)


def _grouped(patterns: list[_Pattern]) -> list[_Group]:
    """The groups from the last to the first: the first that matches a path decides."""
    groups: list[_Group] = []
    for keeps, members in groupby(reversed(patterns), key=lambda pattern: pattern.keeps):
        group = tuple(dict.fromkeys(members))
        regexes = [pattern.regex for pattern in group if pattern.regex]
        regex = re.compile("|".join(regexes) if regexes else _NOTHING, re.DOTALL)
        groups.append(_Group(keeps, regex, group, tuple(p for p in group if not p.regex)))
    return groups


def _tokens(text: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        char = text[position]
        following = text[position + 1 : position + 2]
        if char == "*" and following == "*":
            slash = text[position + 2 : position + 3] == "/"
            token, position = _Token(_DOUBLE, "/" * slash), position + 2 + slash
        elif char == "[":
            token, position = _class(text, position)
        elif char == "\\":
            if not following:
                raise _malformed(text)
            escaped = _Token(_SLASH, "/") if following == "/" else _Token(_ONE, re.escape(following))
            token, position = escaped, position + 2
        else:
            token, position = _character(char), position + 1
        tokens.append(token)
    return tuple(tokens)


def _character(char: str) -> _Token:
    if char == "*":
        return _Token(_STAR)
    if char == "?":
        return _Token(_ONE, "[^/]")
    if char == "/":
        return _Token(_SLASH, "/")
    return _Token(_LITERAL, re.escape(char))


def _class(text: str, start: int) -> tuple[_Token, int]:
    """`[a-z]` and `[^a-z]`, by the grammar of Go's filepath.Match: no empty class, no dash of its own."""
    position = start + 1
    negated = text.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not (ranges and text.startswith("]", position)):
        low, position = _class_character(text, position)
        high = low
        if text.startswith("-", position):
            high, position = _class_character(text, position + 1)
        if low > high:
            raise _malformed(text)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    regex = f"[{'^' * negated}{''.join(ranges)}]"
    return _Token(_CLASS if re.match(regex, "/") else _ONE, regex), position + 1


def _class_character(text: str, position: int) -> tuple[str, int]:
    char = text[position : position + 1]
    if char == "\\":
        position += 1
        char = text[position : position + 1]
    elif char in ("-", "]"):
        raise _malformed(text)
    if not char:
        raise _malformed(text)
    return char, position + 1


def _malformed(text: str) -> DockerfileError:
    return DockerfileError(
        f"syntax error in pattern {text!r}", hint="a [ needs its ], and a \\ something behind it"
    )


_NOTHING = r"(?!)"
_EVERYTHING = r"(?=)"
_END = r"(?=/|\Z)"  # a component ends here: of the path itself, or of a parent


def _regex(tokens: tuple[_Token, ...]) -> str:
    """What matches the beginning of a path that the pattern, as it stands or as a parent, covers.

    Between two `**`, and between two stars of a component, the first place that fits is taken and
    never given up (`(?>...)`), so that no pattern makes matching slow. That loses nothing where every
    `**` stands behind a slash and no class has one; what is left to `_matches` gets "".
    """
    open_end = tokens[-1].kind == _DOUBLE
    end = "" if open_end else _END
    parts = _split(tokens[:-1] if open_end else tokens, _DOUBLE)
    if tokens[0] == _Token(_DOUBLE) and all(t.kind in (_LITERAL, _SLASH) for t in tokens[1:]):
        return ".*?" + _plain(tokens[1:]) + end  # `**name`: whatever ends in that name
    if any(part and part[-1].kind != _SLASH for part in parts[:-1]) or any(t.kind == _CLASS for t in tokens):
        return ""
    first, *others = map(_atomic, parts)
    if not others:
        return first + end or _EVERYTHING
    others[-1] += end
    return first + "".join(f"(?>(?:[^/]*+/)*?{part})" for part in others)


def _matches(tokens: tuple[_Token, ...], path: str) -> bool:
    """The same by simulation, for patterns such as `a**b` and `a[^b]c`: slower, and linear all the same."""
    reached = [True] + [False] * len(path)  # before which characters of the path a match can stand
    for token in tokens[:-1] if tokens[-1].kind == _DOUBLE else tokens:
        if token.kind == _STAR:
            for index, char in enumerate(path):
                reached[index + 1] |= reached[index] and char != "/"
        elif token.kind == _DOUBLE:
            first = reached.index(True)
            for index, char in enumerate(path):
                reached[index + 1] |= index >= first and char == "/"
        else:
            fits = re.compile(token.regex, re.DOTALL).fullmatch
            reached = [False, *(here and fits(c) is not None for here, c in zip(reached, path, strict=False))]
        if True not in reached:
            return False
    if tokens[-1].kind == _DOUBLE:
        return True
    return any(here and path[index : index + 1] in ("", "/") for index, here in enumerate(reached))


def _split(tokens: tuple[_Token, ...], kind: str) -> list[tuple[_Token, ...]]:
    parts: list[list[_Token]] = [[]]
    for token in tokens:
        if token.kind == kind:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _plain(tokens: tuple[_Token, ...]) -> str:
    return "".join("[^/]*" if token.kind == _STAR else token.regex for token in tokens)


def _atomic(tokens: tuple[_Token, ...]) -> str:
    return "/".join(map(_component, _split(tokens, _SLASH)))


def _component(tokens: tuple[_Token, ...]) -> str:
    first, *others = map(_plain, _split(tokens, _STAR))
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1]) + f"[^/]*{others[-1]}"


def _reaches_below(pattern: _Pattern, folder: list[str]) -> bool:
    """Whether the pattern can match something below `folder`, given by its components."""
    if any(token.kind == _CLASS for token in pattern.tokens):
        return True  # a class can match a slash
    for index, tokens in enumerate(_split(pattern.tokens, _SLASH)):
        if index == len(folder) or any(token.kind == _DOUBLE for token in tokens):
            return True
        if not re.fullmatch(_component(tokens), folder[index], re.DOTALL):
            return False
    return True
