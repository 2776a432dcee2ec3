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


BROKEN = "FROM scratch as x\nCOPY a /a\nRUNN true\n"


def test_an_error_is_told_behind_what_was_found_before_it(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": BROKEN})
    result = wherry("build", "--check", folder)
    assert result.code == 1
    assert "\nWARNING: FromAsCasing\n" in result.out
    assert result.err.startswith("error: unknown instruction: RUNN\n  --> Dockerfile:3\n")
    assert result.err.endswith("hint: did you mean RUN?\n")
    found = json.loads(wherry("build", "--check", "--format", "json", folder).out)
    assert found["buildError"] == {"message": "unknown instruction: RUNN"}


def test_a_file_that_cannot_be_parsed_is_an_error(wherry: Wherry, context: Context) -> None:
    result = wherry("build", "--check", context({"Dockerfile": "FROM scratch\nRUN <<END\ntrue\n"}))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: unterminated heredoc\n  --> Dockerfile:2\n")


def test_a_dockerfile_on_standard_input(wherry: Wherry, context: Context) -> None:
    folder = context({".dockerignore": "secret\n", "secret": ""})
    text = "FROM scratch as x\nCOPY secret /\n"
    result = wherry("build", "--check", "-f", "-", folder, stdin=text)
    assert result.code == 1
    rules = [line for line in result.out.splitlines() if line.startswith("WARNING: ")]
    assert rules == ["WARNING: FromAsCasing", "WARNING: CopyIgnoredFile"]
    assert "\nDockerfile:1\n" in result.out
    run = json.loads(wherry("build", "--check", "--format=sarif", "-f", "-", folder, stdin=text).out)["runs"][
        0
    ]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "Dockerfile"}


def test_a_build_tells_its_warnings_at_its_end(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch as x\nCOPY a /a\n", "a": ""})
    told = " 1 warning found (use --check to expand):\n - FromAsCasing: "
    assert told in wherry("build", "--progress", "plain", folder).err
    lines = wherry("build", "--progress", "rawjson", folder).err.splitlines()
    assert json.loads(lines[-1])["event"] == "summary"
