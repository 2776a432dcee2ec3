"""What is fuzzed: readers of text that anybody may have written. Each takes bytes; an exception is a finding.

Only wherry's own error may come out of them; beyond that each asks for what must hold of any answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from wherry.base import values as values_of_fields
from wherry.base.errors import Location, NotFound, WherryError
from wherry.build import outline as outlines
from wherry.build import scope
from wherry.build.origins import Wanted
from wherry.build.plan import plan
from wherry.container.names import NAME
from wherry.container.options import mountwords, publishing
from wherry.container.options.mounting import Volume
from wherry.dockerfile import modes, mounts, ports, values
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns
from wherry.dockerfile.instructions import Run
from wherry.dockerfile.lexer import decode
from wherry.dockerfile.parser import document, parse
from wherry.dockerfile.typed import program
from wherry.dockerfile.words import expand, expand_heredoc, expand_words, raw_words
from wherry.lint import document as documents
from wherry.lint import options as checks
from wherry.lint.check import check, every_rule
from wherry.lint.shell import commands
from wherry.lint.subject import Surroundings
from wherry.lint.walk import walk
from wherry.oci import digest as digests
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.platform import Platform
from wherry.store.images import Image

CORPUS = Path(__file__).parent / "corpus"
_GOLDEN = Path(__file__).parents[1] / "golden" / "dockerfile"

_PLATFORM = Platform("linux", "amd64")
_PREDEFINED = scope.of_platform(_PLATFORM, _PLATFORM, "")
_BASE = ImageConfig(
    _PLATFORM,
    Execution(env=("PATH=/bin", "EMPTY="), onbuild=("ARG late=1", "RUN --mount=type=cache,target=/c $late")),
)
_VARIABLES = {
    "a": "value",
    "b": "",
    "path": "/usr/lib:/lib",
    "x": "a*b?c\\d",
    "$": "1",
    "HOME": " two words ",
}


def syntax(data: bytes) -> None:
    """`parse` and its JSON."""
    text = decode(data)
    try:
        found = parse(data)
    except DockerfileError as error:
        _check_error(error)
        return
    lines = text.count("\n") + 1
    after = 0
    for node in found.instructions:
        assert after < node.start_line <= node.end_line <= lines
        after = node.end_line
    plain = document(found)
    assert json.loads(json.dumps(plain)) == plain


def typed(data: bytes) -> None:
    """The instructions, and what a shell is given of them."""
    try:
        found = program(parse(data))
    except DockerfileError as error:
        _check_error(error)
        return
    for stage in found.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, Run):
                instruction.script()


def words(data: bytes) -> None:
    """Expansion in all its forms; the first byte chooses the escape."""
    escape = "`" if data[:1] > b"\x7f" else "\\"
    text = decode(data[1:])
    runs: tuple[Callable[[], object], ...] = (
        lambda: expand(text, _VARIABLES.get, escape),
        lambda: expand_words(text, _VARIABLES.get, escape),
        lambda: expand_heredoc(text, _VARIABLES.get),
        lambda: raw_words(text),
    )
    for run in runs:
        try:
            run()
        except DockerfileError as error:
            assert error.message


def ignore(data: bytes) -> None:
    """An ignore file and a path below it, with a NUL between them."""
    text, _, name = data.partition(b"\0")
    try:
        patterns = Patterns.parse(text)
    except DockerfileError as error:
        _check_error(error)
        return
    parts = [part for part in decode(name).split("/") if part not in ("", ".", "..")][:8]
    for length in range(1, len(parts)):
        folder = "/".join(parts[:length])
        if not patterns.may_keep_below(folder):
            assert patterns.excludes("/".join(parts))
    patterns.excludes("/".join(parts))


def lint(data: bytes) -> None:
    """All rules, and the outline, which stands on what rules look at."""
    try:
        dockerfile = parse(data)
        around = Surroundings(
            arguments={"a": "1"},
            predefined=_PREDEFINED,
            find_base=lambda name: _BASE if name == "base" else None,
            ignored=Patterns.parse("*.env\n!x\n"),
            exists=lambda path: "x" in path,
            has_context=True,
        )
        report = check(dockerfile, around, advice=True)
    except DockerfileError as error:
        _check_error(error)
        return
    json.dumps(documents.document(report))
    json.dumps(documents.sarif(report, "Dockerfile", "1"))
    try:
        outlines.outline(walk(dockerfile, around._replace(every_stage=False)))
    except WherryError:
        return


def planned(data: bytes) -> None:
    """The graph of a build."""

    def find(name: str, where: Location | None, _platform: Platform) -> Image:
        if name != "base":
            raise NotFound(f"no {name}", where=where)
        return Image(digests.of(b""), _BASE, 0, None)

    arguments = scope.Arguments({"a": "1"}, _PREDEFINED)
    try:
        found = plan(parse(data), Wanted("", _PLATFORM, arguments, find))
    except WherryError as error:
        assert error.message
        return
    for step in found.steps:
        assert all(number < step.number for number in step.inputs)


def options(data: bytes) -> None:
    """Values of flags, one reader each."""
    text = decode(data)
    readers: tuple[Callable[[str], object], ...] = (
        lambda text: modes.parse(text).apply(0o644, folder=False),
        lambda text: mounts.expanded(mounts.mount(text), lambda word: expand(word, _VARIABLES.get)),
        mounts.device,
        values.duration,
        values.size,
        lambda text: ports.exposed([text]),
        checks.parse,
    )
    for read in readers:
        try:
            read(text)
        except DockerfileError as error:
            assert error.message


def container(data: bytes) -> None:
    """Words of `run` for mounts and ports: what is made of them leads nowhere else, and can be kept."""
    text = decode(data)
    for read in (mountwords.parse_volume, mountwords.parse_mount, mountwords.parse_tmpfs):
        try:
            volume = read(text)
        except WherryError as error:
            assert error.message
            continue
        assert volume.target.startswith("/")
        assert not {"", "..", "."} & set(volume.target[1:].split("/"))
        assert ".." not in volume.subpath.split("/")
        assert not volume.subpath.startswith("/")
        if volume.kind == "volume" and volume.source:
            assert NAME.fullmatch(volume.source)
        written = json.dumps(values_of_fields.encode(volume))
        assert values_of_fields.decode(Volume, json.loads(written)) == volume
    for read_ports in (publishing.parse_ports, publishing.parse_expose, mountwords.parse_inheritance):
        try:
            read_ports(text)
        except WherryError as error:
            assert error.message


def shell(data: bytes) -> None:
    """Scripts of RUN, as rules read them."""
    commands(decode(data))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "syntax": syntax,
    "typed": typed,
    "words": words,
    "ignore": ignore,
    "lint": lint,
    "planned": planned,
    "options": options,
    "container": container,
    "shell": shell,
}


def seeds(target: str) -> list[bytes]:
    """Where fuzzing begins: what once was found, the golden files and the examples of the rules."""
    found = [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]
    if target in ("syntax", "typed", "lint", "planned"):
        found += [path.read_bytes() for path in sorted(_GOLDEN.glob("*.Dockerfile"))]
        found += [text.encode() for rule in every_rule() for text in (rule.bad, rule.good)]
    return found


def _check_error(error: DockerfileError) -> None:
    assert error.message
    assert error.where is not None
    assert error.where.line >= 1
