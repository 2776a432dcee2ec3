"""What rules are told of a file: variables of bases and of triggers, errors, time for hostile scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from wherry.dockerfile import parser
from wherry.lint.check import Report, check
from wherry.lint.shell import commands
from wherry.lint.subject import Context, Surroundings
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


def test_an_argument_without_a_value_is_defined_and_one_in_its_own_default_is_not() -> None:
    assert messages(checked("FROM scratch\nARG a\nLABEL a=$a\n")) == []
    assert messages(checked("FROM scratch\nARG a=$a\n")) == [undefined("a")]
    assert messages(checked("FROM scratch\nARG a b=$a\n")) == []


def test_a_variable_that_is_set_later_is_undefined_before() -> None:
    report = checked(
        "FROM scratch AS one\nLABEL a=$later\nENV later=1\nLABEL a=$later\nFROM one\nLABEL a=$later\n"
    )
    assert [finding.where.line for finding in report.findings] == [2]


def test_pip_s_cache_is_off_from_where_the_environment_says_so() -> None:
    install = "RUN pip install a\n"
    switched = "ENV PIP_NO_CACHE_DIR=1\n"
    assert pip_lines(f"FROM base AS one\n{install}{switched}{install}FROM one\n{install}") == [2]
    assert pip_lines(f"FROM quiet\n{install}ENV PIP_NO_CACHE_DIR=0\n{install}") == [4]


def pip_lines(text: str) -> list[int]:
    quiet = ImageConfig(host(), execution=Execution(env=("PIP_NO_CACHE_DIR=yes",)))
    report = check(parser.parse(text), Surroundings(find_base={"quiet": quiet}.get), advice=True)
    return [finding.where.line for finding in report.findings if finding.rule.name == "PipCache"]


def test_thousands_of_variables_take_no_time_worth_mention() -> None:
    """Suggestions for each of them, or a copy of all for each, would take minutes and gigabytes."""
    names = range(10_000)
    text = "FROM scratch\n" + "".join(f"ENV AAAA{i}=1\nARG CCCC{i}\nLABEL a=$BBBB{i}\n" for i in names)
    began = time.process_time()
    assert len(checked(text).findings) == len(names)
    assert time.process_time() - began < 10


def test_thousands_of_stages_take_no_time_worth_mention() -> None:
    stages = range(10_000)
    text = "FROM scratch AS s0\n" + "".join(f"FROM s{i} AS s{i + 1}\nCOPY --from={i} a a\n" for i in stages)
    began = time.process_time()
    assert messages(checked(text)) == []
    assert time.process_time() - began < 5


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


def test_stages_that_triggers_name_are_used() -> None:
    text = "FROM base AS a\nONBUILD COPY --from=made x x\nFROM base AS made\nLABEL a=$no\nFROM a\n"
    report = check(parser.parse(text), Surroundings(every_stage=False))
    assert [finding.where.line for finding in report.findings] == [4]
    image = ImageConfig(host(), execution=Execution(onbuild=("COPY --from=made x x",)))
    text = "FROM base AS made\nLABEL a=$no\nFROM puller\n"
    around = Surroundings(find_base={"puller": image}.get, every_stage=False)
    assert [finding.where.line for finding in check(parser.parse(text), around).findings] == [2]


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


# named contexts


def with_contexts(text: str, advice: bool = False, **contexts: ImageConfig | None) -> Report:
    """`a` for the context a, `a_arm64` for stages of that platform."""

    def find(name: str, platform: str) -> Context | None:
        for key in (f"{name}_{platform.rpartition('/')[2]}", name):
            if key in contexts:
                return Context(name, contexts[key])
        return None

    return check(parser.parse(text), Surroundings(find_context=find), advice=advice)


FILES = ImageConfig(host())
IMAGE = ImageConfig(host(), Execution(env=("A=1",), user="app", onbuild=("ARG RELEASE=1",)))


def test_a_context_is_a_known_base() -> None:
    text = "FROM src AS one\nLABEL a=$A b=$RELEASE\n"
    assert with_contexts(text).unknown_bases == ("src",)
    report = with_contexts(text, src=FILES)
    assert (messages(report), report.unknown_bases) == ([undefined("A"), undefined("RELEASE")], ())
    assert messages(with_contexts(text, src=IMAGE)) == []
    assert with_contexts(text, src=None).unknown_bases == ("src",)


def test_a_stage_that_a_context_replaces_has_no_instructions() -> None:
    text = "FROM base AS one\nENV BUILT=1\nLABEL a=$X\nFROM one\nLABEL a=$A b=$BUILT c=$RELEASE\n"
    report = with_contexts(text, one=IMAGE)
    assert messages(report) == [undefined("BUILT"), undefined("RELEASE")]
    assert report.unknown_bases == ()


def test_the_platform_of_a_stage_chooses_the_context() -> None:
    text = "FROM --platform=linux/arm64 src\nLABEL a=$A\nFROM src\nLABEL a=$A\n"
    report = with_contexts(text, src=FILES, src_arm64=IMAGE)
    assert [finding.where.line for finding in report.findings if "$A" in finding.message] == [4]


def test_a_context_is_no_image_without_a_tag() -> None:
    text = "FROM src\nCOPY --from=tools a b\nRUN --mount=from=src,target=/m x\nUSER app\n"

    def rules(report: Report) -> list[str]:
        return [finding.rule.name for finding in report.findings]

    assert rules(with_contexts(text, advice=True)) == ["LatestTag"] * 3
    assert rules(with_contexts(text, advice=True, src=FILES)) == ["LatestTag"]
    assert rules(with_contexts(text, advice=True, src=FILES, tools=FILES)) == []
