"""`wherry build --call`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry

Context = Callable[[Mapping[str, str | bytes]], Path]

DOCKERFILE = """\
ARG RELEASE=12
# base is the system
FROM nowhere.invalid/system:$RELEASE AS base
RUN --mount=type=secret,id=token,required true
FROM base AS app
# PORT is where it listens
ARG PORT=80
"""


def test_outline(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": DOCKERFILE})
    assert wherry.ok("build", "--call", "outline", "--build-arg", "PORT=8080", folder) == (
        "TARGET: app\n\n"
        "BUILD ARG   VALUE   DESCRIPTION\n"
        "RELEASE     12      \n"
        "PORT        8080    is where it listens\n\n"
        "SECRET   REQUIRED\ntoken    true\n\n"
    )
    found = json.loads(wherry.ok("build", "--call=outline,format=json", "--target=base", folder))
    assert (found["name"], found["description"]) == ("base", "is the system")
    assert [item["name"] for item in found["args"]] == ["RELEASE"]


def test_targets(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": DOCKERFILE})
    assert wherry.ok("build", "--call=targets", folder) == (
        "TARGET        DESCRIPTION\nbase          is the system\napp (default) \n"
    )
    found = json.loads(wherry.ok("build", "--call=format=json,targets", folder))["targets"]
    assert [item.get("default", False) for item in found] == [False, True]


def test_check_is_that_of_the_flag(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch as x\n"})
    called, flag = wherry("build", "--call=check", folder), wherry("build", "--check", folder)
    assert (called.code, called.out) == (flag.code, flag.out)
    assert called.code == 1
    report = json.loads(wherry("build", "--call=check,format=json", folder).out)
    assert [item["ruleName"] for item in report["warnings"]] == ["FromAsCasing"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--call=subrequests.describe"], "error: --call: unknown method 'subrequests.describe'\n"),
        (["--call=outline,size=1"], "error: --call outline,size=1: 'size=1' is not understood\n"),
        (["--call=outline,targets"], "error: --call outline,targets: 'targets' is not understood\n"),
        (["--call=outline,format=sarif"], "error: invalid format 'sarif'\n"),
        (["--call=targets", "--check"], "error: --check and --call=targets ask for different things\n"),
        (["--call=outline", "--strict"], "error: --strict and --format belong to --check\n"),
        (["--call=build", "--format=json"], "error: --strict and --format belong to --check\n"),
    ],
)
def test_what_is_not_supported_is_refused(
    wherry: Wherry, context: Context, flags: list[str], message: str
) -> None:
    result = wherry("build", *flags, context({"Dockerfile": DOCKERFILE}))
    assert (result.code, result.out) == (125, "")
    assert result.err.startswith(message)


def test_call_build_builds(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch\nCOPY a /a\n", "a": "a"})
    assert wherry.ok("build", "-q", "--call=build", folder).startswith("sha256:")
