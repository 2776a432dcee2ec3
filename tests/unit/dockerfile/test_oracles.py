"""Two other parsers agree with ours, but where they are known to be wrong.

`dockerfile` is BuildKit's own parser, of an older version, compiled for Python; `e2b-dockerfile-utils` is
a port of a newer one. Instructions on which one of them is wrong are made comments for it (`Deviation`).
"""

from __future__ import annotations

import importlib
import json
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError, parse_dockerfile_ast
from hypothesis import given
from hypothesis import strategies as st

from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.parser import KEYWORDS, Dockerfile, Node, parse

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("tests/golden/dockerfile/*.Dockerfile"), *ROOT.glob("examples/**/*Dockerfile")])

corpus = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
has_wheel = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="dockerfile has no wheel for this machine",
)


START = [*KEYWORDS, "run", "Foo", "HEALTHCHECK CMD", "ONBUILD RUN", "# escape=`", "# syntax=x", "#!/x", " \t"]
PIECES = [
    *"ab \t\\`\"'=#<-[$",
    " ",
    "A=b",
    "--a",
    "--a=b",
    '--"x y"=z',
    "--",
    '["a"]',
    '["a", "b"] ',
    "<<A",
    "<<-B",
]
ENDS = ["\n", "\n", "\r\n", "\n\n", "\\\n", "\\ \n#x\n", "`\n", "\nA\n", "\n\tB\n"]
LINES = st.tuples(
    st.sampled_from(START), st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from(ENDS)
)
TEXTS = st.lists(LINES, min_size=1, max_size=4).map(
    lambda lines: "".join(f"{start} {''.join(pieces)}{end}" for start, pieces, end in lines)
)


class Deviation(NamedTuple):
    """`holds` says for which instructions; `example` is a file that shows it."""

    holds: Callable[[Node], bool]
    reason: str
    example: str


def blank_before_name(text: str) -> bool:
    return re.search(r"<<-?\s", text) is not None


def array_and_more(node: Node) -> bool:
    inner = node.nested or node
    text = " ".join(inner.args[1:] if inner.keyword == "HEALTHCHECK" else inner.args)
    try:
        return inner.form == "shell" and isinstance(json.JSONDecoder().raw_decode(text)[0], list)
    except ValueError:
        return False


BUILDKIT_IS_WRONG = (
    Deviation(
        lambda node: bool(node.heredocs) and blank_before_name(node.original),
        "blanks between << and the name are allowed since",
        "FROM a\nRUN cat << EOF\nx\nEOF\n",
    ),
    Deviation(
        lambda node: node.nested is not None and bool(node.heredocs),
        "the binding leaves out the heredocs of an ONBUILD",
        "ONBUILD COPY <<EOF /x\nx\nEOF\n",
    ),
    Deviation(
        array_and_more,
        "a JSON array with more behind it is no exec form any more (moby/buildkit#5107)",
        'CMD ["a"] # b\n',
    ),
    Deviation(
        lambda node: "--" in node.original and any(escape in node.original for escape in "\\`"),
        "flags obey the escape directive since",
        "# escape=`\nADD --chown=a`\\b x y\n",
    ),
    Deviation(
        lambda node: node.nested is not None and node.nested.nested is not None,
        "the binding knows one instruction in another, not three",
        "ONBUILD ONBUILD RUN x\n",
    ),
)

E2B_IS_WRONG = (
    Deviation(
        lambda node: node.keyword not in KEYWORDS,
        "refuses unknown instructions, which BuildKit's parser leaves to those who read its tree",
        "FOO bar\n",
    ),
    Deviation(
        lambda node: node.keyword == "ONBUILD",
        "does not read what stands in ONBUILD",
        "ONBUILD RUN x\n",
    ),
    Deviation(
        lambda node: node.keyword in ("ADD", "COPY") and any(char in node.original for char in "'\"\\"),
        "obeys quotes and escapes in COPY and ADD, which BuildKit does not",
        'COPY "a b" /x\n',
    ),
)


@has_wheel
@corpus
def test_buildkit_agrees(file: Path) -> None:
    text, left = without(parse(file.read_bytes()), BUILDKIT_IS_WRONG)
    assert buildkit(text) == [as_buildkit(node) for node in left]


@corpus
def test_e2b_agrees(file: Path) -> None:
    text, left = without(parse(file.read_bytes()), E2B_IS_WRONG)
    assert e2b(text) == [as_e2b(node) for node in left]


@has_wheel
@pytest.mark.parametrize("deviation", BUILDKIT_IS_WRONG, ids=lambda deviation: deviation.reason)
def test_buildkit_is_still_wrong(deviation: Deviation) -> None:
    nodes = parse(deviation.example).instructions
    assert any(map(deviation.holds, nodes))
    assert buildkit(deviation.example) != [as_buildkit(node) for node in nodes]


@pytest.mark.parametrize("deviation", E2B_IS_WRONG, ids=lambda deviation: deviation.reason)
def test_e2b_is_still_wrong(deviation: Deviation) -> None:
    nodes = parse(deviation.example).instructions
    assert any(map(deviation.holds, nodes))
    try:
        found = e2b(deviation.example)
    except DockerfileSyntaxError:
        return
    assert found != [as_e2b(node) for node in nodes]


@has_wheel
@given(TEXTS)
def test_buildkit_agrees_on_any_text(text: str) -> None:
    try:
        changed, left = without(parse(text), BUILDKIT_IS_WRONG)
    except DockerfileError:
        if not blank_before_name(text) and "[" not in text:
            with pytest.raises(importlib.import_module("dockerfile").GoParseError):
                buildkit(text)
        return
    if left:
        assert buildkit(changed) == [as_buildkit(node) for node in left]


@given(TEXTS)
def test_e2b_agrees_on_any_text(text: str) -> None:
    try:
        changed, left = without(parse(text), E2B_IS_WRONG)
    except DockerfileError as error:
        if "ONBUILD" not in text and "no instructions" not in error.message:
            with pytest.raises(DockerfileSyntaxError):
                e2b(text)
        return
    assert e2b(changed) == [as_e2b(node) for node in left]


def without(dockerfile: Dockerfile, deviations: tuple[Deviation, ...]) -> tuple[str, list[Node]]:
    """The text with the lines of instructions on which an oracle is wrong made comments; the others."""
    lines = dockerfile.text.split("\n")
    left = []
    for node in dockerfile.instructions:
        if any(deviation.holds(node) for deviation in deviations):
            for index in range(node.start_line - 1, node.end_line):
                lines[index] = "#"
        else:
            left.append(node)
    return "\n".join(lines), left


def flat_args(node: Node) -> list[str]:
    if node.nested:
        return [node.nested.original]
    return [text for pair in node.pairs for text in (pair.name, pair.value)] or list(node.args)


def buildkit(text: str) -> list[dict[str, Any]]:
    commands = importlib.import_module("dockerfile").parse_string(text)
    # The binding does not show the flags of an instruction in ONBUILD.
    return [
        {
            "keyword": upper(command.cmd or ""),
            "nested": upper(command.sub_cmd or ""),
            "flags": list(command.flags),
            "args": list(command.value),
            "exec": command.json,
            "heredocs": [(doc.name, doc.content) for doc in command.heredocs],
            "lines": (command.start_line, command.end_line),
            # The older version keeps the heredocs in it.
            "original": (command.original or "").partition("\n")[0],
        }
        for command in commands
    ]


def as_buildkit(node: Node) -> dict[str, Any]:
    inner = node.nested or node
    unknown = inner.keyword not in KEYWORDS
    return {
        "keyword": node.keyword,
        "nested": node.nested.keyword if node.nested else "",
        "flags": list(node.flags),
        "args": [""] if unknown else flat_args(inner),
        "exec": inner.form == "exec",
        "heredocs": [(doc.name, doc.content) for doc in node.heredocs],
        "lines": (node.start_line, node.end_line),
        "original": node.original,
    }


def upper(keyword: str) -> str:
    return keyword.upper() if keyword.isascii() else keyword


def e2b(text: str) -> list[dict[str, Any]]:
    return [
        {
            "keyword": found.name,
            "flags": found.flags,
            "args": e2b_args(found),
            "exec": found.json,
            "heredocs": [(doc.name, doc.content, doc.expand, doc.chomp) for doc in found.heredocs],
            "lines": (found.start_line, found.end_line),
            "original": found.original,
        }
        for found in parse_dockerfile_ast(text).instructions
    ]


def e2b_args(found: DockerfileInstruction) -> list[str]:
    """Without what stood between each name and its value, their third item."""
    if found.name not in ("ENV", "LABEL"):
        return found.args
    return [item for index, item in enumerate(found.args) if index % 3 != 2]


def as_e2b(node: Node) -> dict[str, Any]:
    return {
        "keyword": node.keyword,
        "flags": list(node.flags),
        "args": flat_args(node),
        "exec": node.form == "exec",
        "heredocs": [(doc.name, doc.content, doc.expand, doc.chomp) for doc in node.heredocs],
        "lines": (node.start_line, node.end_line),
        "original": node.original,
    }
