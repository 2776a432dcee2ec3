"""Names and casing: of stages, of instructions, of the comments that describe them."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.dockerfile.lexer import SPACE, split_once
from wherry.dockerfile.parser import Node
from wherry.lint.options import of_comments
from wherry.lint.rule import WARNING, Mark, Rule, quoted
from wherry.lint.subject import Subject

_RESERVED = ("context", "scratch")


def keyword(node: Node) -> str:
    """The keyword as it is written."""
    return split_once(node.original.strip(SPACE))[0]


def _stage_name_casing(subject: Subject) -> Iterator[Mark]:
    for node in _from_nodes(subject):
        if len(node.args) == 3 and node.args[2] != node.args[2].lower():
            yield Mark(subject.location(node), f"Stage name '{node.args[2]}' should be lowercase")


def _from_as_casing(subject: Subject) -> Iterator[Mark]:
    for node in _from_nodes(subject):
        if len(node.args) < 3:
            continue
        word, given = keyword(node), node.args[1]
        wanted = {word.lower(): given.lower(), word.upper(): given.upper()}.get(word, given)
        if given != wanted:
            yield Mark(subject.location(node), f"'{given}' and '{word}' keywords' casing do not match")


def _consistent_casing(subject: Subject) -> Iterator[Mark]:
    """The ARGs before the first FROM do not count, as in the frontend."""
    nodes = subject.dockerfile.instructions
    first = next((i for i, node in enumerate(nodes) if node.keyword == "FROM"), len(nodes))
    words = [(node, keyword(node)) for node in nodes[first:]]
    lower = sum(word == word.lower() for _, word in words)
    upper = sum(word == word.upper() for _, word in words)
    casing, wanted = ("lowercase", str.lower) if lower > upper else ("uppercase", str.upper)
    for node, word in words:
        if word != wanted(word):
            message = f"Command '{word}' should match the case of the command majority ({casing})"
            yield Mark(subject.location(node), message)


def _duplicate_stage_name(subject: Subject) -> Iterator[Mark]:
    seen = set()
    for stage in subject.stages:
        name = stage.base.name
        if name in seen:
            yield Mark(stage.where, f"Duplicate stage name {quoted(name)}, stage names should be unique")
        if name:
            seen.add(name)


def _reserved_stage_name(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        if stage.base.name in _RESERVED:
            message = f"Stage name should not use the same name as reserved stage {quoted(stage.base.name)}"
            yield Mark(stage.where, message)


def _definition_description(subject: Subject) -> Iterator[Mark]:
    for node in subject.dockerfile.instructions:
        names = _defined(node)
        if not names or not node.comments or of_comments(node):
            continue
        if node.comments[-1].split(" ")[0] not in names:
            name = names[0] if len(names) == 1 else "<arg_key>"
            message = f"Comment for {node.keyword} should follow the format: `# {name} <description>`"
            yield Mark(subject.location(node), message)


def _defined(node: Node) -> list[str]:
    if node.keyword == "FROM" and len(node.args) == 3:
        return [node.args[2].lower()]
    return [word.partition("=")[0] for word in node.args] if node.keyword == "ARG" else []


def _from_nodes(subject: Subject) -> Iterator[Node]:
    return (node for node in subject.dockerfile.instructions if node.keyword == "FROM")


_ASKED_FOR = "# check=experimental=InvalidDefinitionDescription\n\n"

RULES = (
    Rule(
        "StageNameCasing",
        WARNING,
        "Stage names should be lowercase",
        "write the stage's name in lower case, here and where it is used",
        _stage_name_casing,
        "FROM alpine AS BuilderBase\n",
        "FROM alpine AS builder-base\n",
    ),
    Rule(
        "FromAsCasing",
        WARNING,
        "The 'as' keyword should match the case of the 'from' keyword",
        "write FROM ... AS ..., or from ... as ...",
        _from_as_casing,
        "FROM debian:13 as builder\n",
        "FROM debian:13 AS builder\n",
    ),
    Rule(
        "ConsistentInstructionCasing",
        WARNING,
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
        "write all keywords in one case; upper case is the custom",
        _consistent_casing,
        "FROM alpine\nCOPY app /app\nrun /app --version\n",
        "FROM alpine\nCOPY app /app\nRUN /app --version\n",
    ),
    Rule(
        "DuplicateStageName",
        WARNING,
        "Stage names should be unique",
        "give every stage a name of its own: of two with one name only the last can be used",
        _duplicate_stage_name,
        "FROM debian:13 AS builder\nRUN make\n\nFROM golang:1.25 AS builder\nRUN go build\n",
        "FROM debian:13 AS c-builder\nRUN make\n\nFROM golang:1.25 AS go-builder\nRUN go build\n",
    ),
    Rule(
        "ReservedStageName",
        WARNING,
        "Reserved words should not be used as stage names",
        "choose another name: `scratch` and `context` mean something already",
        _reserved_stage_name,
        "FROM alpine AS context\n",
        "FROM alpine AS sources\n",
    ),
    Rule(
        "InvalidDefinitionDescription",
        WARNING,
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`",
        "begin the comment with the name it describes, or put an empty line between comment and instruction",
        _definition_description,
        f"{_ASKED_FOR}# the version to be built\nARG VERSION=1\nFROM app:$VERSION\n",
        f"{_ASKED_FOR}# VERSION the version to be built\nARG VERSION=1\nFROM app:$VERSION\n",
        experimental=True,
    ),
)
