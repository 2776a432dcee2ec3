"""A Dockerfile's syntax: text -> directives and nodes, one for each instruction.

Nothing here knows what an instruction means: an unknown keyword or flag is no error (see `typed`).
Arguments are kept as they are written, quotes and variables included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wherry.base.errors import Location
from wherry.base.source import excerpt
from wherry.base.tuples import NamedTuple
from wherry.dockerfile import directives, heredocs, jsonform
from wherry.dockerfile.directives import DirectiveError
from wherry.dockerfile.errors import DockerfileError, WordError
from wherry.dockerfile.heredocs import Heredoc
from wherry.dockerfile.lexer import (
    SPACE,
    decode,
    split_blanks,
    split_command,
    split_lines,
    split_once,
    split_words,
    statement,
)

DEEPEST_ONBUILD = 8  # no build accepts even two


class Pair(NamedTuple):
    """One NAME=VALUE of ENV or LABEL; `legacy`: written as NAME VALUE."""

    name: str
    value: str
    legacy: bool = False


class Node(NamedTuple):
    """One instruction as it is written.

    `keyword` is upper case. `form` is "exec" when a JSON array was read, else "shell". ENV and LABEL
    have `pairs`, ONBUILD has `nested`, all others `args`. `original` is the line with its continuations
    joined, without heredocs. Lines count from 1. `comments` are those right above the instruction.
    """

    keyword: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    form: str
    heredocs: tuple[Heredoc, ...]
    start_line: int
    end_line: int
    original: str
    pairs: tuple[Pair, ...] = ()
    nested: Node | None = None
    comments: tuple[str, ...] = ()


class Dockerfile(NamedTuple):
    """A whole file. `blank_continuations` are the blank lines inside continued instructions."""

    directives: dict[str, str]
    escape: str
    instructions: tuple[Node, ...]
    file: str
    text: str
    blank_continuations: tuple[int, ...] = ()

    def location(self, node: Node) -> Location:
        return Location(self.file, node.start_line, node.end_line)

    def excerpt(self, where: Location) -> str:
        """The source lines at `where`, marked, with two more on each side."""
        return excerpt(split_lines(self.text), where.line, where.end_line)

    def located(self, error: DockerfileError, where: Location) -> DockerfileError:
        """`error` with its place and source lines, where it has none yet."""
        if error.where is None:
            error.where = where
        if not error.excerpt and error.where.file == self.file:
            error.excerpt = self.excerpt(error.where)
        return error


class _Arguments(NamedTuple):
    args: tuple[str, ...] = ()
    form: str = "shell"
    pairs: tuple[Pair, ...] = ()
    nested: Node | None = None


def parse(text: bytes | str, file: str = "Dockerfile") -> Dockerfile:
    """The syntax of a Dockerfile. Raises DockerfileError, and nothing else, for any input at all."""
    return _Parser(decode(text), file).run()


def document(dockerfile: Dockerfile) -> dict[str, Any]:
    """The file as plain values, in the shape that `wherry parse --format json` prints."""
    return {
        "directives": dockerfile.directives,
        "escape": dockerfile.escape,
        "instructions": [_plain(node) for node in dockerfile.instructions],
    }


def _plain(node: Node) -> dict[str, Any]:
    args: list[Any] = list(node.args)
    if node.pairs:
        args = [[pair.name, pair.value] for pair in node.pairs]
    elif node.nested:
        args = [_plain(node.nested)]
    return {
        "keyword": node.keyword,
        "flags": list(node.flags),
        "args": args,
        "form": node.form,
        "heredocs": [
            {"name": doc.name, "content": doc.content, "expand": doc.expand, "chomp": doc.chomp}
            for doc in node.heredocs
        ],
        "start_line": node.start_line,
        "end_line": node.end_line,
        "original": node.original,
    }


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._lines = split_lines(text)
        self._position = 0  # the line to be read next, from 0
        self._escape = "\\"

    def run(self) -> Dockerfile:
        found = self._directives()
        self._escape, self._position = found.escape, found.lines
        nodes: list[Node] = []
        blank: list[int] = []
        comments: list[str] = []
        while self._position < len(self._lines):
            line = self._lines[self._position].strip(SPACE)
            if line.startswith("#"):
                _collect(comments, line)
                self._position += 1
            elif not line:
                self._position += 1
            else:
                nodes.append(self._node(tuple(comments), blank))
                comments.clear()
        if not nodes:
            raise self._error(DockerfileError("file with no instructions"), 1, len(self._lines))
        # A `#!` line ends the directives that the parser obeys, and not those looked up before it.
        looked_up = {name: directives.detect(self._text, name) for name in ("syntax", "check")}
        values = {name: value for name, value in looked_up.items() if value} | found.values
        return Dockerfile(values, found.escape, tuple(nodes), self._file, self._text, tuple(blank))

    def _directives(self) -> directives.Directives:
        try:
            return directives.read(self._lines)
        except DirectiveError as error:
            raise self._error(error, error.line, error.line) from None

    def _node(self, comments: tuple[str, ...], blank: list[int]) -> Node:
        start = self._position
        line = statement(self._lines, start, self._escape)
        blank.extend(line.blank_lines)
        self._position = line.end
        try:
            node = self._instruction(line.text, start + 1, 0)
            docs = self._heredocs(node, start)
        except DockerfileError as error:
            raise self._error(error, start + 1, self._position) from None
        return _finished(node, docs, self._position, comments)

    def _instruction(self, text: str, line: int, depth: int) -> Node:
        word, flags, rest = split_command(text, self._escape)
        keyword = word.upper() if word.isascii() else word
        if keyword == "ONBUILD":
            found = self._onbuild(rest, line, depth)
        else:
            found = _ARGUMENTS.get(keyword, _unknown)(rest, self._escape)
        return Node(
            keyword=keyword,
            flags=flags,
            args=found.args,
            form=found.form,
            heredocs=(),
            start_line=line,
            end_line=line,
            original=text,
            pairs=found.pairs,
            nested=found.nested,
        )

    def _onbuild(self, rest: str, line: int, depth: int) -> _Arguments:
        if not rest:
            return _Arguments()
        if depth == DEEPEST_ONBUILD:
            raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        return _Arguments(nested=self._instruction(rest, line, depth + 1))

    def _heredocs(self, node: Node, start: int) -> tuple[Heredoc, ...]:
        if not _takes_heredocs(node):
            return ()
        try:
            found = heredocs.openers(node.original)
        except WordError as error:
            raise DockerfileError(error.message) from None
        return tuple(self._heredoc(doc, start) for doc in found)

    def _heredoc(self, doc: Heredoc, start: int) -> Heredoc:
        """`doc` with the lines up to the one that ends it, line endings kept."""
        first = self._position
        for index in range(first, len(self._lines)):
            if doc.ends_at(self._lines[index]):
                self._position = index + 1
                return doc._replace(content="".join(f"{line}\n" for line in self._lines[first:index]))
        self._position = start + 1
        raise DockerfileError(
            "unterminated heredoc",
            hint=f"no line of its own says {doc.name!r}, which is to end what <<{doc.name} begins",
        )

    def _error(self, error: DockerfileError, start: int, end: int) -> DockerfileError:
        error.where = Location(self._file, start, end)
        error.excerpt = excerpt(self._lines, start, end)
        return error


def _collect(comments: list[str], line: str) -> None:
    """Comments in a row describe the instruction below them; an empty one begins anew."""
    comment = line[1:].strip(SPACE)
    if comment:
        comments.append(comment)
    else:
        comments.clear()


def _finished(node: Node, docs: tuple[Heredoc, ...], end: int, comments: tuple[str, ...]) -> Node:
    nested = _finished(node.nested, docs, end, ()) if node.nested else None
    return node._replace(heredocs=docs, end_line=end, nested=nested, comments=comments)


def _takes_heredocs(node: Node) -> bool:
    target = node.nested if node.keyword == "ONBUILD" and node.nested else node
    return target.keyword in ("ADD", "COPY", "RUN") and target.form == "shell"


def _unknown(_rest: str, _escape: str) -> _Arguments:
    return _Arguments()


def _whole(rest: str, _escape: str) -> _Arguments:
    return _Arguments((rest,) if rest else ())


def _blanks(rest: str, _escape: str) -> _Arguments:
    return _Arguments(split_blanks(rest))


def _words(rest: str, escape: str) -> _Arguments:
    return _Arguments(split_words(rest, escape))


def _command(rest: str, escape: str) -> _Arguments:
    found = jsonform.strings(rest)
    return _whole(rest, escape) if found is None else _Arguments(found, "exec")


def _list(rest: str, escape: str) -> _Arguments:
    found = jsonform.strings(rest)
    return _blanks(rest, escape) if found is None else _Arguments(found, "exec")


def _healthcheck(rest: str, escape: str) -> _Arguments:
    if not rest:
        return _Arguments()
    kind, *command = split_once(rest)
    found = _command(command[0], escape) if command else _Arguments()
    return found._replace(args=(kind, *found.args))


def _env(rest: str, escape: str) -> _Arguments:
    return _pairs("ENV", rest, escape)


def _label(rest: str, escape: str) -> _Arguments:
    return _pairs("LABEL", rest, escape)


def _pairs(keyword: str, rest: str, escape: str) -> _Arguments:
    words = split_words(rest, escape)
    if words and "=" not in words[0]:
        return _Arguments(pairs=(_legacy_pair(keyword, rest),))
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"Syntax error - can't find = in {word!r}. Must be of the form: name=value",
                hint='quote a value that has blanks: name="a value"',
            )
        pairs.append(Pair(name, value))
    return _Arguments(pairs=tuple(pairs))


def _legacy_pair(keyword: str, rest: str) -> Pair:
    name, *value = split_once(rest)
    if not value:
        raise DockerfileError(f"{keyword} must have two arguments", hint=f"write {keyword} {name}=VALUE")
    return Pair(name, value[0], legacy=True)


_ARGUMENTS: dict[str, Callable[[str, str], _Arguments]] = {
    "ADD": _list,
    "ARG": _words,
    "CMD": _command,
    "COPY": _list,
    "ENTRYPOINT": _command,
    "ENV": _env,
    "EXPOSE": _blanks,
    "FROM": _blanks,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _whole,
    "RUN": _command,
    "SHELL": _command,
    "STOPSIGNAL": _whole,
    "USER": _whole,
    "VOLUME": _list,
    "WORKDIR": _whole,
}

KEYWORDS = (*_ARGUMENTS, "ONBUILD")
