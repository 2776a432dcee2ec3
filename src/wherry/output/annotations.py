"""Annotations of what a build writes: on manifests, on the index, and on the descriptors that name those.

BuildKit's words: `annotation.KEY` and `annotation-manifest[PLATFORM].KEY` of an output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wherry.base.errors import NotFound, UsageError
from wherry.base.tuples import NamedTuple
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform
from wherry.output.result import Pairs, Part, Result

MANIFEST, INDEX = "manifest", "index"
MANIFEST_DESCRIPTOR, INDEX_DESCRIPTOR = "manifest-descriptor", "index-descriptor"
LEVELS = (MANIFEST, INDEX, MANIFEST_DESCRIPTOR, INDEX_DESCRIPTOR)
PREFIX = "annotation"

_KEY = re.compile(rf"{PREFIX}(?:-({'|'.join(LEVELS)}))?(?:\[([^\]]*)\])?\.(.+)", re.DOTALL)

_FLAG_LEVEL = re.compile(r"([a-z-]+)(?:\[([\w()+./-]*)\])?", re.ASCII)
_FLAG = re.compile(rf"{_FLAG_LEVEL.pattern}(?:,{_FLAG_LEVEL.pattern})*", re.ASCII)


class Annotation(NamedTuple):
    """`level`: what it is on, one of LEVELS. `platform`: whose manifest; None for all."""

    level: str
    key: str
    value: str
    platform: Platform | None = None


def parse(key: str, value: str) -> Annotation:
    """`annotation.KEY`, or `annotation-LEVEL[PLATFORM].KEY`; UsageError for what is neither."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise UsageError(
            f"{key}: not an annotation",
            hint=f"write {PREFIX}.KEY=VALUE or {PREFIX}-LEVEL.KEY=VALUE, {_levels()}",
        )
    level, platform, name = match.groups()
    return checked(level or MANIFEST, name, value, platform)


def of_flag(text: str) -> tuple[Annotation, ...]:
    """What `--annotation` says: `KEY=VALUE`, or `LEVEL[PLATFORM],LEVEL:KEY=VALUE`, as buildx takes it."""
    name, equals, value = text.partition("=")
    levels, colon, key = name.partition(":")
    if not colon or not _FLAG.fullmatch(levels):
        levels, key = "", name  # a key may have colons of its own
    if not equals or not key:
        raise UsageError(
            f"--annotation {text!r}: not an annotation", hint="write KEY=VALUE or LEVEL:KEY=VALUE"
        )
    if not levels:
        return (checked(MANIFEST, key, value),)
    found = _FLAG_LEVEL.finditer(levels)
    return tuple(checked(level[1], key, value, level[2]) for level in found)


def checked(level: str, key: str, value: str, platform: str | None = None) -> Annotation:
    """An annotation of these words; `platform` may be None."""
    if level not in LEVELS:
        raise UsageError(f"{level!r} has no annotations", hint=_levels())
    if platform is not None and level.startswith(INDEX):
        raise UsageError(f"{level}[{platform}]: an index is for all platforms", hint="leave the platform out")
    return Annotation(level, key, value, None if platform is None else platforms.parse(platform))


def applied(result: Result, annotations: Sequence[Annotation]) -> Result:
    """The result with these annotations too; a later one replaces an earlier one of the same key."""
    for annotation in annotations:
        result = _with(result, annotation)
    return result


def _with(result: Result, annotation: Annotation) -> Result:
    pair = (annotation.key, annotation.value)
    if annotation.level.startswith(INDEX):
        if not result.is_index:
            raise UsageError(
                f"the annotation {annotation.key} is for an index, and an image of one platform has none",
                hint="annotate the manifest, or build for several platforms",
            )
        if annotation.level == INDEX:
            return result._replace(annotations=_set(result.annotations, pair))
        return result._replace(described=_set(result.described, pair))
    wanted = [part for part in result.parts if annotation.platform in (None, part.platform)]
    if not wanted:
        raise NotFound(
            f"the annotation {annotation.key} is for {annotation.platform}, which is not built",
            hint=f"built is: {', '.join(str(part.platform) for part in result.parts)}",
        )
    parts = tuple(
        _annotated(part, annotation.level, pair) if part in wanted else part for part in result.parts
    )
    return result._replace(parts=parts)


def _annotated(part: Part, level: str, pair: tuple[str, str]) -> Part:
    if level == MANIFEST:
        return part._replace(annotations=_set(part.annotations, pair))
    return part._replace(described=_set(part.described, pair))


def _set(pairs: Pairs, pair: tuple[str, str]) -> Pairs:
    return tuple((dict(pairs) | dict([pair])).items())


def _levels() -> str:
    return f"LEVEL is one of: {', '.join(LEVELS)}"
