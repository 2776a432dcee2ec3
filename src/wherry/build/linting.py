"""The linter as builds call it: what it has to know is gathered here.

A build with nothing to do must not pay for it: no rule is imported where a verdict is remembered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Summary
from wherry.base.text import counted
from wherry.build import scope, sources, verdicts
from wherry.build.bases import SHORTEST_ID
from wherry.build.definition import Definition
from wherry.build.options import Options
from wherry.build.verdicts import Verdict, Verdicts
from wherry.dockerfile.parser import Dockerfile
from wherry.oci import platform as platforms
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.named import Contexts
    from wherry.lint.check import Report
    from wherry.lint.subject import Context, Surroundings

Check = Callable[[Dockerfile, Mapping[str, str], Definition], None]


@contextmanager
def warned(store: Store, options: Options, emit: Emit) -> Iterator[Check]:
    """Gives what checks the Dockerfile of a build: the warnings are told when the build is over.

    With `error=true` the check itself raises WherryError.
    """
    told: list[Verdict] = []

    def check(dockerfile: Dockerfile, given: Mapping[str, str], definition: Definition) -> None:
        verdict = _verdict(store, options, dockerfile, given, definition)
        told.append(verdict)
        if verdict.violation:
            raise WherryError(verdict.violation, hint="see `wherry build --check`")

    try:
        yield check
    finally:
        for verdict in told:
            if verdict.lines:
                emit(Summary(verdict.lines))


def _verdict(
    store: Store, options: Options, dockerfile: Dockerfile, given: Mapping[str, str], definition: Definition
) -> Verdict:
    """What the linter says, or said when it was asked the same.

    Named contexts are too many kinds of things to tell whether they are the same: there it is always asked.
    """
    if options.contexts:
        return _found(store, options, dockerfile, given, definition)
    patterns = None if definition.ignored is None else definition.ignored.patterns
    key = verdicts.key(dockerfile, given, _predefined(options), options.target, patterns)
    known = Verdicts(store.path("cache"))
    asked = _Asked(store, definition)
    verdict = known.get(key, asked.image, asked.exists)
    if verdict is None:
        verdict = _found(store, options, dockerfile, given, definition)
        known.put(key, verdict)
    return verdict


def _found(
    store: Store, options: Options, dockerfile: Dockerfile, given: Mapping[str, str], definition: Definition
) -> Verdict:
    from wherry.lint import check as linter

    asked = _Asked(store, definition)
    report = linter.check(dockerfile, _surroundings(options, given, definition, asked, every_stage=False))
    return Verdict(
        summary(report), report.violation(), tuple(asked.images.items()), tuple(asked.files.items())
    )


class _Asked:
    """Answers the linter's questions, and remembers them with their answers."""

    def __init__(self, store: Store, definition: Definition | None) -> None:
        self.images: dict[str, str] = {}
        self.files: dict[str, bool] = {}
        self._store = store
        self._definition = definition

    def image(self, name: str) -> str:
        """The ID of an image, "" for what is none; of an unclear one the build complains."""
        if name not in self.images:
            try:
                self.images[name] = self._store.images.resolve_id(name, SHORTEST_ID) or ""
            except WherryError:
                self.images[name] = ""
        return self.images[name]

    def config(self, name: str) -> ImageConfig | None:
        image = self.image(name)
        return self._store.images.get(Digest(image)).config if image else None

    def exists(self, path: str) -> bool:
        if self._definition is None:
            return False
        if path not in self.files:
            self.files[path] = os.path.lexists(os.path.join(self._definition.folder, path))
        return self.files[path]


def surroundings(
    store: Store,
    options: Options,
    given: Mapping[str, str],
    definition: Definition | None,
    *,
    every_stage: bool = False,
) -> Surroundings:
    """`definition` is None where the context does not matter."""
    asked = _Asked(store, definition)
    return _surroundings(options, given, definition, asked, every_stage=every_stage)


def _surroundings(
    options: Options,
    given: Mapping[str, str],
    definition: Definition | None,
    asked: _Asked,
    *,
    every_stage: bool,
) -> Surroundings:
    from wherry.lint.subject import Surroundings

    ignored = definition.ignored if definition else None
    contexts = sources.contexts(options.contexts)

    def find_context(name: str, platform: str) -> Context | None:
        if contexts is None:
            return None
        return _context(contexts, name, platform or str(options.platform), asked.config)

    return Surroundings(
        arguments=given,
        predefined=_predefined(options),
        find_base=asked.config,
        ignored=ignored or None,
        exists=asked.exists,
        has_context=ignored is not None,
        target=options.target,
        every_stage=every_stage,
        find_context=find_context,
    )


def _context(
    contexts: Contexts, name: str, platform: str, find_base: Callable[[str], ImageConfig | None]
) -> Context | None:
    """The named context that stands for `name`; nothing is fetched for it."""
    from wherry.build import named
    from wherry.lint.subject import Context

    try:
        wanted = platforms.parse(platform)
    except WherryError:
        return None  # the build says so
    found = contexts.name(name, wanted)
    if not found:
        return None
    kind, text = contexts.value(found)
    if kind == named.IMAGE and text != "scratch":
        return Context(found, find_base(text))
    if kind == named.IN_LAYOUT:
        return Context(found, named.config_in_layout(text, wanted))
    return Context(found, ImageConfig(wanted))


def _predefined(options: Options) -> dict[str, str]:
    return scope.of_platform(options.platform, platforms.host(), options.target)


def summary(report: Report) -> tuple[str, ...]:
    """As BuildKit ends a build: how many, then one line for each; nothing where there is none."""
    count = len(report.findings)
    if not count:
        return ()
    head = f"{counted(count, 'warning')} found (use --check to expand):"
    lines = (f"- {item.rule.name}: {item.message} (line {item.where.line})" for item in report.findings)
    return (head, *lines)
