"""Every rule on its own examples: the bad one triggers it alone, the good one triggers nothing."""

from __future__ import annotations

import pytest

from wherry.dockerfile import parser
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns
from wherry.lint.check import check, every_rule
from wherry.lint.rule import WARNING, Rule
from wherry.lint.subject import Surroundings

RULES = every_rule()


def found(text: str, rule: Rule) -> set[str]:
    files = dict(rule.files)
    around = Surroundings(
        predefined={"TARGETPLATFORM": "linux/amd64", "BUILDPLATFORM": "linux/amd64"},
        ignored=Patterns.parse(files[".dockerignore"]) if ".dockerignore" in files else None,
        exists=files.__contains__,
        has_context=bool(files),
    )
    report = check(parser.parse(text), around, advice=rule.severity != WARNING)
    assert report.error is None
    return {finding.rule.name for finding in report.findings}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_examples(rule: Rule) -> None:
    assert found(rule.bad, rule) == {rule.name}
    assert found(rule.good, rule) == set()


def test_skip_and_error() -> None:
    text = "# check=skip=FromAsCasing;error=true\nFROM scratch as x\nCOPY $a /\n"
    report = check(parser.parse(text), Surroundings())
    assert report.violation() == "lint violation found for rules: UndefinedVar"
    report = check(parser.parse(text), Surroundings(arguments={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}))
    assert report.violation() == "" and report.findings == ()


def test_a_wrong_option_is_shown_where_it_stands() -> None:
    with pytest.raises(DockerfileError) as caught:
        check(parser.parse("# escape=`\n#check = skip=A;eror=true\nFROM scratch\n"), Surroundings())
    assert caught.value.message == "failed to parse check options: invalid check option 'eror'"
    assert caught.value.where == ("Dockerfile", 2, 0)
    assert "   2 | >>> #check" in caught.value.excerpt
    with pytest.raises(DockerfileError) as caught:
        check(parser.parse("FROM scratch\n"), Surroundings(arguments={"BUILDKIT_DOCKERFILE_CHECK": "x"}))
    assert caught.value.where is None
