"""Variables: those of FROM, those of a stage, and those that give secrets away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wherry.base.errors import WherryError
from wherry.dockerfile.errors import closest
from wherry.dockerfile.instructions import Arg, Env, Expose
from wherry.lint.rule import WARNING, Mark, Rule, quoted
from wherry.lint.subject import MANY_NAMES, Stage, Step, Subject
from wherry.oci import platform as platforms
from wherry.oci import reference as references

_SECRET = frozenset(
    (
        *("apikey", "auth", "credential", "credentials", "key"),
        *("password", "pword", "passwd", "secret", "token"),
    )
)
_NO_SECRET = frozenset(("public", "file", "version"))
_NEVER_SET = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))


def _undefined_arg_in_from(subject: Subject) -> Iterator[Mark]:
    known = set(subject.global_names)
    for stage in subject.stages:
        for words in (stage.image, stage.platform):
            for name in sorted(words.missing - known):
                message = f"FROM argument '{name}' is not declared"
                yield Mark(stage.where, message + _suggestion("", name, subject.global_names))


def _undefined_var(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        for step in stage.steps:
            # The frontend looks at all instructions that expand but for EXPOSE.
            if step.undefined and not isinstance(step.instruction, Expose):
                yield from _undefined_in(step, stage)


def _undefined_in(step: Step, stage: Stage) -> Iterator[Mark]:
    for name in step.undefined:
        suggestion = _suggestion("$", name, step.visible)
        # A base that is not at hand may set it, if it is written like a variable of the environment.
        is_possible = not stage.is_known and name == name.upper() and not suggestion
        if name not in _NEVER_SET and not is_possible:
            yield Mark(step.where, f"Usage of undefined variable '${name}'{suggestion}")


def _suggestion(sign: str, name: str, candidates: Sequence[str]) -> str:
    if len(candidates) > MANY_NAMES:
        return ""
    best = closest(name, ((candidate, candidate) for candidate in candidates))
    return f" (did you mean {sign}{best}?)" if best else ""


def _invalid_default(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        if stage.image.found or stage.image.missing:
            try:
                references.parse(stage.default_image)
            except WherryError:
                text = f"Default value for ARG {stage.image.text} results in empty or invalid base image name"
                yield Mark(stage.where, text)


def _redundant_target_platform(subject: Subject) -> Iterator[Mark]:
    target = subject.surroundings.predefined.get("TARGETPLATFORM")
    for stage in subject.stages:
        words = stage.platform
        if words.found == {"TARGETPLATFORM"} and not words.missing and words.value == target:
            message = f"Setting platform to predefined {words.text} in FROM is redundant"
            yield Mark(stage.where, f"{message} as this is the default behavior")


def _constant_platform(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        words = stage.platform
        if not words.text or words.found or words.missing:
            continue
        try:
            platform = platforms.parse(words.value)
        except WherryError:
            continue
        if platform.os not in stage.base.name and platform.architecture not in stage.base.name:
            message = f"FROM --platform flag should not use constant value {quoted(words.value)}"
            yield Mark(stage.where, message)


def _secrets(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        names: list[str] = []
        if isinstance(step.instruction, Arg):
            names = [argument.name for argument in step.instruction.arguments]
        elif isinstance(step.instruction, Env):
            names = [name for name, _ in step.instruction.pairs]
        for name in filter(names_secret, names):
            what = f"{step.node.keyword} {quoted(name)}"
            message = f"Do not use ARG or ENV instructions for sensitive data ({what})"
            yield Mark(step.where, message)


def names_secret(name: str) -> bool:
    words = name.lower().split("_")
    return not _SECRET.isdisjoint(words) and _NO_SECRET.isdisjoint(words)


RULES = (
    Rule(
        "UndefinedArgInFrom",
        WARNING,
        "FROM command must use declared ARGs",
        "declare the ARG before the first FROM",
        _undefined_arg_in_from,
        "FROM busybox:1${SUFFIX}\n",
        "ARG SUFFIX\nFROM busybox:1${SUFFIX}\n",
    ),
    Rule(
        "UndefinedVar",
        WARNING,
        "Variables should be defined before their use",
        "declare it with ARG or ENV in this stage, before this instruction",
        _undefined_var,
        "FROM alpine\nCOPY $sources /app\n",
        "FROM alpine\nARG sources=src\nCOPY $sources /app\n",
    ),
    Rule(
        "SecretsUsedInArgOrEnv",
        WARNING,
        "Sensitive data should not be used in the ARG or ENV commands",
        "use RUN --mount=type=secret: what ARG and ENV hold stands in the image for all to read",
        _secrets,
        "FROM alpine\nARG REGISTRY_TOKEN\nRUN ./fetch\n",
        "FROM alpine\nRUN --mount=type=secret,id=registry_token ./fetch\n",
    ),
    Rule(
        "InvalidDefaultArgInFrom",
        WARNING,
        "Default value for global ARG results in an empty or invalid base image name",
        "give the ARG a default that makes a valid name",
        _invalid_default,
        "ARG TAG\nFROM busybox:${TAG}\n",
        "ARG TAG=latest\nFROM busybox:${TAG}\n",
    ),
    Rule(
        "RedundantTargetPlatform",
        WARNING,
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        "leave --platform=$TARGETPLATFORM out",
        _redundant_target_platform,
        "FROM --platform=$TARGETPLATFORM alpine\n",
        "FROM alpine\n",
    ),
    Rule(
        "FromPlatformFlagConstDisallowed",
        WARNING,
        "FROM --platform flag should not use a constant value",
        "leave it to `build --platform`, use $BUILDPLATFORM, or name the stage for its platform",
        _constant_platform,
        "FROM --platform=linux/amd64 alpine AS base\n",
        "FROM --platform=$BUILDPLATFORM alpine AS base\n",
    ),
)
