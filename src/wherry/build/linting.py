"""The linter as builds call it: what it has to know is gathered here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Summary
from wherry.build import scope, sources
from wherry.build.definition import Definition
from wherry.build.options import Options
from wherry.dockerfile.parser import Dockerfile
from wherry.oci import platform as platforms
from wherry.oci.config import ImageConfig
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
    reports: list[Report] = []

    def check(dockerfile: Dockerfile, given: Mapping[str, str], definition: Definition) -> None:
        from wherry.lint import check as linter

        report = linter.check(dockerfile, surroundings(store, options, given, definition))
        reports.append(report)
        if violation := report.violation():
            raise WherryError(violation, hint="see `wherry build --check`")

    try:
        yield check
    finally:
        for report in reports:
            if report.findings:
                emit(summary(report))


def surroundings(
    store: Store,
    options: Options,
    given: Mapping[str, str],
    definition: Definition | None,
    *,
    every_stage: bool = False,
) -> Surroundings:
    """`definition` is None where the context does not matter."""
    from wherry.lint.subject import Surroundings

    here = platforms.host()
    ignored = definition.ignored if definition else None
    contexts = sources.contexts(options.contexts)

    def find_base(name: str) -> ImageConfig | None:
        try:
            image = store.images.resolve(name)
        except WherryError:
            return None  # no name at all; the build says so
        return image.config if image else None

    def exists(path: str) -> bool:
        return definition is not None and os.path.lexists(os.path.join(definition.folder, path))

    def find_context(name: str, platform: str) -> Context | None:
        if contexts is None:
            return None
        return _context(contexts, name, platform or str(options.platform or here), find_base)

    return Surroundings(
        arguments=given,
        predefined=scope.of_platform(options.platform or here, here, options.target),
        find_base=find_base,
        ignored=ignored or None,
        exists=exists,
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


def summary(report: Report) -> Summary:
    """As BuildKit ends a build: how many, then one line for each."""
    count = len(report.findings)
    head = f"{count} warning{'' if count == 1 else 's'} found (use --check to expand):"
    lines = (f"- {item.rule.name}: {item.message} (line {item.where.line})" for item in report.findings)
    return Summary((head, *lines))
