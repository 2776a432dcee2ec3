"""What is copied, and from where."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wherry.base.errors import WherryError
from wherry.dockerfile.instructions import Add
from wherry.dockerfile.stages import origins
from wherry.lint.advice.example import BASE, example
from wherry.lint.rule import ADVICE, Mark, Rule, quoted
from wherry.lint.rules.instructions import is_remote, takes_whole_context
from wherry.lint.subject import Subject
from wherry.oci import reference as references
from wherry.oci.reference import Reference

_ARCHIVE = re.compile(r".*\.(?:tar|tgz|tbz2?|txz|tzst|tar\.(?:gz|bz2|xz|zst))", re.IGNORECASE)


def _add(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        instruction = step.instruction
        if not isinstance(instruction, Add) or not instruction.sources or instruction.checksum:
            continue
        if not any(is_remote(source) or _ARCHIVE.fullmatch(source) for source in instruction.sources):
            yield Mark(step.where, "ADD of local files: COPY does the same, and nothing else")


def _no_ignore_file(subject: Subject) -> Iterator[Mark]:
    around = subject.surroundings
    if not around.has_context or around.ignored is not None:
        return
    for step in subject.steps():
        if takes_whole_context(step.instruction):
            yield Mark(step.where, "the whole context is copied, and there is no .dockerignore")
            return


def _images(subject: Subject) -> Iterator[tuple[Mark, Reference]]:
    """Every image that is fetched, with the place that names it."""
    for stage in subject.stages:
        if stage.is_used and stage.parent < 0 and not (stage.is_scratch or stage.context):
            yield from _named(Mark(stage.where, stage.image.value))
        for step in stage.steps:
            for origin in origins(step.instruction):
                if subject.is_image(origin, stage) and not origin.isdigit():
                    yield from _named(Mark(step.where, origin))


def _named(mark: Mark) -> Iterator[tuple[Mark, Reference]]:
    try:
        yield mark, references.parse(mark.message)
    except WherryError:
        return


def _latest(subject: Subject) -> Iterator[Mark]:
    for mark, image in _images(subject):
        if not image.digest and image.tag in ("", "latest"):
            what = "without a tag" if not image.tag else "with the tag latest"
            yield Mark(mark.where, f"{quoted(mark.message)} {what} is another image every few weeks")


def _no_digest(subject: Subject) -> Iterator[Mark]:
    for mark, image in _images(subject):
        if not image.digest and image.tag not in ("", "latest"):
            yield Mark(mark.where, f"{quoted(mark.message)} without a digest: a tag can be moved")


RULES = (
    Rule(
        "LatestTag",
        ADVICE,
        "What `latest` means changes without notice: tomorrow's build is not today's",
        "name a version, as in debian:13",
        _latest,
        "FROM debian\nUSER app\n",
        f"FROM {BASE}\nUSER app\n",
    ),
    Rule(
        "NoDigest",
        ADVICE,
        "Only a digest names one image for ever; a tag is what its owner makes of it",
        "write name:tag@sha256:..., and have a tool renew it",
        _no_digest,
        "FROM debian:13\nUSER app\n",
        f"FROM {BASE}\nUSER app\n",
    ),
    Rule(
        "AddInsteadOfCopy",
        ADVICE,
        "ADD also unpacks archives and fetches URLs: COPY says that neither is meant",
        "write COPY",
        _add,
        example("ADD app.py /app/"),
        example("COPY app.py /app/"),
    ),
    Rule(
        "NoIgnoreFile",
        ADVICE,
        "Without .dockerignore all of .git, caches and local settings gets into the image",
        "make a .dockerignore, with .git in it to begin with",
        _no_ignore_file,
        example("COPY . /app"),
        example("COPY src /app"),
        files=(("src/app.py", ""),),
    ),
)
