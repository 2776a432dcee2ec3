"""Steps by the names that progress shows."""

from __future__ import annotations

import pytest

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.build import picking
from wherry.build.kept import Build, Failure, Place
from wherry.build.step import Run

NAMES = (
    "[builder 1/3] FROM a",
    "[builder 2/3] RUN make [1/9] all",
    "",
    "[internal] mount / of the build context",
    "[stage-1 1/2] FROM b",
    "[stage-1 2/2] COPY x y",
    "FROM c",
    "[other stage 7/8] RUN x",
)
BUILD = Build("/c", "", (), tuple(Place(name, None, "linux/amd64", Run((), (), "", "/")) for name in NAMES))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("builder 2/3", 1),
        ("builder 2", 1),
        ("builder:2", 1),
        ("stage-1 2/2", 5),
        ("#6", 5),
        ("#1", 0),
        ("7", 7),
        ("other stage 7", 7),
    ],
)
def test_a_step_by_its_name(text: str, number: int) -> None:
    assert picking.step(BUILD, text) == number


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("2", UsageError, "builder 2/3, stage-1 2/2"),
        ("9", NotFound, "the steps are builder 1/3, "),
        ("#99", NotFound, "the steps are"),
        ("mount", NotFound, "the steps are"),
        ("", UsageError, "--step N"),
    ],
)
def test_a_step_that_is_none_or_several(text: str, kind: type[WherryError], hint: str) -> None:
    with pytest.raises(kind) as caught:
        picking.step(BUILD, text)
    assert hint in caught.value.hint


def test_the_failed_step_needs_no_name() -> None:
    assert picking.step(BUILD._replace(failure=Failure(5, "why")), "") == 5


def test_labels_and_instructions() -> None:
    assert picking.label(BUILD.places[1]) == "builder 2/3"
    assert picking.instruction(BUILD.places[1]) == "RUN make [1/9] all"
    assert [picking.label(BUILD.places[n]) for n in (2, 3, 6)] == ["", "", ""]
