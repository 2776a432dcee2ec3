"""`wherry build --check`, and the warnings of a build."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from support.cli import Wherry

Context = Callable[[Mapping[str, str | bytes]], Path]


def test_check_prints_each_finding_and_exits_1(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch as x\nCOPY a /a\n"})
    result = wherry("build", "--check", folder)
    assert result.code == 1
    assert (
        "\nWARNING: FromAsCasing\n'as' and 'FROM' keywords' casing do not match\nDockerfile:1\n" in result.out
    )
    assert "\nADVICE: RunsAsRoot\n" in result.out


def test_advice_counts_with_strict_alone(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch\n"})
    assert wherry.ok("build", "--check", folder).startswith("Check complete, no warnings found.\n")
    assert wherry("build", "--check", "--strict", folder).code == 1


def test_formats(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch as x\n"})
    found = json.loads(wherry("build", "--check", "--format", "json", folder).out)
    assert [item["ruleName"] for item in found["warnings"]] == ["FromAsCasing"]
    run = json.loads(wherry("build", "--check", "--format", "sarif", folder).out)["runs"][0]
    first = run["results"][0]
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "FromAsCasing"
