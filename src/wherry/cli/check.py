"""`wherry build --check`: the linter alone. Nothing is built, and only a remote context needs a network."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from wherry.base import events
from wherry.base.errors import UsageError
from wherry.build import definition as definitions
from wherry.build import linting, scope
from wherry.build.options import Options
from wherry.dockerfile import parser
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.lint.check import Report

FORMATS = ("text", "json", "sarif")


def run(store: Store, options: Options, form: str, *, strict: bool) -> int:
    """Prints what is found; the exit code is 1 where a warning is, with `strict` where anything is."""
    from wherry.lint import check as linter

    if form not in FORMATS:
        raise UsageError(f"invalid format {form!r}", hint=f"the formats are {', '.join(FORMATS)}")
    given = scope.given(options.arguments, os.environ)
    with definitions.opened(store, options, events.ignore) as definition:
        dockerfile = parser.parse(definition.text, definition.name)
        around = linting.surroundings(store, options, given, definition, every_stage=not options.target)
        report = linter.check(dockerfile, around, advice=True)
    if form == "text":
        from wherry.ui import findings

        print(findings.render(report, dockerfile), end="")
        for name in report.unknown_bases:
            print(f"note: {name} is not in the store, so what it defines is not known", file=sys.stderr)
    else:
        _print_document(
            form, report, os.path.relpath(definition.path) if definition.path else definition.name
        )
    if report.error:
        raise report.error
    return 1 if (report.findings if strict else report.warnings()) else 0


def _print_document(form: str, report: Report, path: str) -> None:
    import json

    from wherry import __version__
    from wherry.lint import document

    found = document.document(report) if form == "json" else document.sarif(report, path, __version__)
    print(json.dumps(found, indent=2))
