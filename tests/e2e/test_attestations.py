"""`--provenance`, `--sbom`, `--attest`: refused by name, and only their negations are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.mark.parametrize(
    "flag",
    [
        "--provenance=true",
        "--provenance=mode=max",
        "--sbom=true",
        "--sbom=generator=image",
        "--attest=type=sbom",
    ],
)
def test_they_are_refused(wherry: Wherry, context: Context, flag: str) -> None:
    result = wherry("build", flag, "-t", "app", context({"Dockerfile": "FROM scratch\nCOPY <<E /a\nE\n"}))
    assert result.code == 1
    assert flag.replace("--attest=", "--attest ") in result.err
    assert "attests nothing" in result.err
    assert not wherry.ok("images", "-q")


def test_none_is_what_there_is(wherry: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM scratch\nCOPY <<E /a\nE\n"})
    without = wherry.ok("build", "-q", folder)
    flags = ("--provenance=false", "--sbom=false", "--attest", "type=sbom,disabled=true")
    assert wherry.ok("build", "-q", *flags, folder) == without


def test_a_word_that_is_no_option_of_attest_is_told(wherry: Wherry, context: Context) -> None:
    result = wherry("build", "--attest", "sbom", context({"Dockerfile": "FROM scratch\n"}))
    assert result.code == 125
    assert "key=value" in result.err
