"""Build arguments: which are given, which are declared where, and what a word may refer to.

Dockerfile reference, "ARG": an argument exists from its declaration to the end of its stage; one declared
before the first FROM may be used in FROM, and in a stage that declares it again; ENV goes before ARG.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.base import proxies
from wherry.oci.platform import Platform

PREDEFINED = proxies.VARIABLES
"""Arguments that every RUN gets undeclared, and that stand in no history and no recipe."""

_OF_THE_BUILDER = frozenset(
    {
        "SOURCE_DATE_EPOCH",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_DOCKERFILE_CHECK",
        "BUILDKIT_SYNTAX",
    }
)


def given(pairs: tuple[tuple[str, str | None], ...], environment: Mapping[str, str]) -> dict[str, str]:
    """`--build-arg` values; one without a value takes the variable of its name, if there is one."""
    values = ((name, environment.get(name) if value is None else value) for name, value in pairs)
    return {name: value for name, value in values if value is not None}


def proxies_of(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those of the given values that every RUN sees."""
    return tuple((name, value) for name, value in given.items() if name in PREDEFINED)


def of_platform(target: Platform, build: Platform, stage: str) -> dict[str, str]:
    """The predefined platform arguments of the global scope."""
    arguments = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("TARGET", target), ("BUILD", build)):
        arguments[f"{prefix}PLATFORM"] = str(platform.plain)
        arguments[f"{prefix}OS"] = platform.os
        arguments[f"{prefix}ARCH"] = platform.architecture
        arguments[f"{prefix}VARIANT"] = platform.variant
    return arguments


class Arguments:
    """The given values and the global scope of one Dockerfile."""

    def __init__(self, values: Mapping[str, str], platform: Mapping[str, str]) -> None:
        self._values = values
        self._globals: dict[str, str | None] = dict(platform)
        self._declared: set[str] = set()

    def declare_global(self, name: str, default: str | None) -> None:
        self._declared.add(name)
        self._globals[name] = self._values.get(name, self._globals.get(name) if default is None else default)

    def lookup_global(self, name: str) -> str | None:
        return self._globals.get(name)

    def value(self, name: str, default: str | None) -> str | None:
        """What `ARG name=default` in a stage gives."""
        self._declared.add(name)
        return self._values.get(name, self._globals.get(name) if default is None else default)

    def unused(self) -> list[str]:
        """Given and never declared."""
        return sorted(set(self._values) - self._declared - PREDEFINED - _OF_THE_BUILDER)


class Scope:
    """What a stage's instructions see: its declared arguments, and ENV above them."""

    def __init__(self, arguments: Arguments, declared: Mapping[str, str | None] | None = None) -> None:
        self._arguments = arguments
        self.declared: dict[str, str | None] = dict(declared or {})

    def declare(self, name: str, default: str | None) -> None:
        self.declared[name] = self._arguments.value(name, default)

    def visible(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The arguments that have a value and that no ENV hides."""
        return {
            name: value
            for name, value in self.declared.items()
            if value is not None and name not in environment and name not in PREDEFINED
        }

    def child(self) -> Scope:
        """For a stage that stands on this one: it inherits what was declared here."""
        return Scope(self._arguments, self.declared)
