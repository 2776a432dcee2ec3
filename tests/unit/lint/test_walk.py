"""What rules are told of a file: variables of bases and of triggers, errors, time for hostile scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from wherry.dockerfile import parser
from wherry.lint.check import Report, check
from wherry.lint.shell import commands
from wherry.lint.subject import Surroundings
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.platform import host


def checked(text: str, bases: Mapping[str, Execution] | None = None) -> Report:
    configs = {name: ImageConfig(host(), execution=execution) for name, execution in (bases or {}).items()}
    return check(parser.parse(text), Surroundings(find_base=configs.get))


def messages(report: Report) -> list[str]:
    return [finding.message for finding in report.findings]


def undefined(name: str) -> str:
    return f"Usage of undefined variable '${name}'"


def test_variables_of_a_base_are_defined() -> None:
    text = "FROM base\nWORKDIR $HOME_OF_APP\nLABEL a=$OTHER b=$PATH\n"
    report = checked(text, {"base": Execution(env=("HOME_OF_APP=/app",))})
    assert messages(report) == [undefined("OTHER")]
    assert report.unknown_bases == ()


def test_a_base_that_is_not_at_hand_may_define_what_looks_like_a_variable() -> None:
    report = checked("FROM base\nLABEL a=$OTHER b=$other\n")
    assert messages(report) == [undefined("other")]
    assert report.unknown_bases == ("base",)


def test_variables_of_a_base_reach_the_stages_that_stand_on_it() -> None:
    text = "FROM base AS one\nFROM one\nLABEL a=$FROM_BASE\nFROM scratch\nLABEL a=$FROM_BASE\n"
    report = checked(text, {"base": Execution(env=("FROM_BASE=1",))})
    assert [finding.where.line for finding in report.findings] == [5]


def test_triggers_of_a_base_define_variables_in_its_child_alone() -> None:
    execution = Execution(onbuild=("ARG VERSION=1", "ENV RELEASE=$VERSION"))
    text = "FROM base AS one\nLABEL a=$VERSION b=$RELEASE\nFROM one AS two\nLABEL a=$RELEASE\n"
    assert messages(checked(text, {"base": execution})) == []
    stages = "FROM scratch AS one\nONBUILD ENV LATER=1\nLABEL a=$LATER\nFROM one\nLABEL a=$LATER\n"
    assert [finding.where.line for finding in checked(stages).findings] == [3]


def test_what_stands_before_an_error_is_checked() -> None:
    report = checked("FROM scratch as x\nLABEL a=$no\nRUNN x\nFROM y as z\n")
    assert [finding.rule.name for finding in report.findings] == ["FromAsCasing", "UndefinedVar"]
    assert report.error is not None
    assert report.error.message == "unknown instruction: RUNN"
    assert report.error.where is not None and report.error.where.line == 3


def test_without_from_there_is_the_error_alone() -> None:
    report = checked("ARG a=1\n")
    assert report.findings == ()
    assert report.error is not None and report.error.message == "dockerfile contains no stages to build"


@pytest.mark.parametrize(
    "unit",
    [
        '"',
        '"a',
        "'a' ",
        "\\",
        '\\"',
        "$",
        "$(",
        "`",
        "<",
        "1",
        "1<",
        "<<-",
        "#",
        " ",
        "&",
        "a=1 ",
        "a'b\"c\\",
    ],
)
def test_reading_a_script_takes_linear_time(unit: str) -> None:
    """A megabyte: what is not linear takes hours."""
    for before in ("", '"', "'", "a="):
        text = before + unit * (1_000_000 // len(unit))
        began = time.process_time()
        commands(text)
        assert time.process_time() - began < 10
