"""What the linter found, as `docker build --check` prints it."""

from __future__ import annotations

from wherry.base.text import harmless, one_line
from wherry.dockerfile.parser import Dockerfile
from wherry.lint.check import Report
from wherry.lint.rule import Finding

_RULE = "-" * 20


def render(report: Report, dockerfile: Dockerfile) -> str:
    """The verdict, then every finding with its source lines."""
    return _verdict(len(report.warnings())) + "".join(_shown(item, dockerfile) for item in report.findings)


def _verdict(count: int) -> str:
    if not count:
        return "Check complete, no warnings found.\n"
    words = "1 warning has" if count == 1 else f"{count} warnings have"
    return f"Check complete, {words} been found!\n"


def _shown(item: Finding, dockerfile: Dockerfile) -> str:
    title = f"{item.rule.severity.upper()}: {item.rule.name}"
    head = f"{title}\n{one_line(item.message)}\n{harmless(str(item.where))}"
    source = f"{_RULE}\n{dockerfile.excerpt(item.where)}\n{_RULE}"
    return f"\n{head}\n{source}\nhint: {item.rule.fix}\n"
