"""Steps of two builds, matched and compared."""

from __future__ import annotations

import pytest

from wherry.build import comparing
from wherry.build.account import Change
from wherry.build.comparing import changes
from wherry.build.kept import Place
from wherry.build.step import Copy, Mount, Run
from wherry.oci.digest import Digest

RUN = Run(("/bin/sh", "-c", "make"), (("A", "1"), ("B", "2")), "", "/w")
MOUNT = Mount("cache", "/c", id="c", sharing="shared", label="x")
COPY = Copy(("a", "b"), "/w/")


def place(text: str, needs: tuple[int, ...] = (), stage: str = "") -> Place:
    label = f"{stage} 1/9" if stage else "1/9"
    return Place(f"[{label}] {text}", None, "linux/amd64", Run((), (), "", "/"), needs=needs)


def line(*texts: str, stage: str = "", start: int = 0) -> list[Place]:
    """One stage, each step behind the one before."""
    return [
        place(text, () if number == 0 else (start + number - 1,), stage) for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("FROM a|RUN x|RUN y", "FROM a|RUN x|RUN y", {0: 0, 1: 1, 2: 2}),
        ("FROM a|RUN x|RUN y", "FROM a|RUN z|RUN y", {0: 0, 1: 1, 2: 2}),
        ("FROM a|RUN x|RUN y", "FROM a|RUN new|RUN x|RUN y", {0: 0, 2: 1, 3: 2}),
        ("FROM a|RUN x|RUN y", "FROM a|RUN y", {0: 0, 1: 2}),
        ("FROM a|RUN x", "FROM b|RUN x", {0: 0, 1: 1}),
        ("FROM a|RUN x|RUN x", "FROM a|RUN x|RUN x|RUN x", {0: 0, 1: 1, 2: 2}),
        ("FROM a|RUN x", "FROM a|COPY x y", {0: 0}),
        ("FROM a|RUN x|RUN y", "FROM a|RUN p|RUN q", {0: 0, 1: 1, 2: 2}),
    ],
)
def test_an_instruction_is_found_again(old: str, new: str, expected: dict[int, int]) -> None:
    assert comparing.matches(line(*old.split("|")), line(*new.split("|"))) == expected


def test_stages_are_kept_apart() -> None:
    old = [*line("FROM a", "RUN x", stage="one"), *line("FROM a", "RUN x", stage="two", start=2)]
    new = line("FROM a", "RUN x", stage="two")
    assert comparing.matches(old, new) == {0: 2, 1: 3}


def test_steps_without_an_instruction_are_no_harm() -> None:
    nothing = Place("", None, "", Run((), (), "", "/"))
    old = [nothing, *line("FROM a", "RUN x", start=1)]
    assert comparing.matches(old, [nothing, nothing, *line("FROM a", "RUN y", start=2)])[3] == 2


def run(**fields: object) -> Place:
    return Place("[1/2] RUN make", None, "linux/amd64", RUN._replace(**fields), kind="Run")  # type: ignore[arg-type]


def copy(**fields: object) -> Place:
    operation = COPY._replace(**fields)  # type: ignore[arg-type]
    return Place("[1/2] COPY $X /w/", None, "linux/amd64", RUN._replace(args=()), kind="Copy", copy=operation)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (run(), run(), []),
        (
            run(),
            run()._replace(name="[1/2] RUN make all"),
            [Change("instruction", "", "RUN make", "RUN make all")],
        ),
        (
            run(),
            run()._replace(platform="linux/arm64"),
            [Change("platform", "", "linux/amd64", "linux/arm64")],
        ),
        (run(), run(environment=(("A", "1"), ("B", "3"))), [Change("ENV", "B", "2", "3")]),
        (run(), run(environment=(("B", "2"), ("A", "1"))), [Change("ENV", "order of the variables")]),
        (
            run(environment=(("A", "1"),)),
            run()._replace(arguments=("B",)),
            [Change("ARG", "B", None, "2")],
        ),
        (
            run()._replace(arguments=("B",)),
            run(environment=(("A", "1"),)),
            [Change("ARG", "B", "2", None)],
        ),
        (run(), run(user="7"), [Change("USER", "", "", "7")]),
        (run(), run(folder="/x"), [Change("WORKDIR", "", "/w", "/x")]),
        (run(), run(network="none"), [Change("--network", "", "default", "none")]),
        (run(), run(scripts=(("f", "x"),)), [Change("here-document")]),
        (
            run(),
            run(args=("/bin/bash", "-c", "make"))._replace(shell=("/bin/bash", "-c")),
            [Change("SHELL", "", "/bin/sh -c", "/bin/bash -c")],
        ),
        (run(mounts=(MOUNT,)), run(mounts=(MOUNT._replace(sharing="locked"),)), [Change("--mount", "/c")]),
        (run(mounts=(MOUNT,)), run(), [Change("--mount", "/c")]),
        (run(mounts=(MOUNT,)), run(mounts=(MOUNT._replace(label="y"),)), []),
        (copy(), copy(), []),
        (copy(), copy(patterns=("a", "c")), [Change("sources", "", "a b", "a c")]),
        (copy(), copy(target="/v/"), [Change("target", "", "/w/", "/v/")]),
        (copy(), copy(owner="7"), [Change("--chown", "", "", "7")]),
        (copy(), copy(mode="700"), [Change("--chmod", "", "", "700")]),
        (copy(), copy(excludes=("a",)), [Change("--exclude", "", "", "a")]),
        (copy(), copy(context="x"), [Change("--from", "", "", "x")]),
        (copy(), copy(inline=(("E", "1"),)), [Change("here-document")]),
    ],
)
def test_what_of_a_step_is_other(old: Place, new: Place, expected: list[Change]) -> None:
    assert list(changes(old, new)) == expected


def test_a_workdir() -> None:
    old = Place("[1/2] WORKDIR $X", None, "", RUN._replace(args=()), kind="Folder")
    new = old._replace(run=old.run._replace(folder="/v", user="7"))
    assert list(changes(old, new)) == [Change("WORKDIR", "", "/w", "/v"), Change("USER", "", "", "7")]


def test_what_it_stands_on_is_no_change_of_it() -> None:
    assert list(changes(run(), run()._replace(parent=(Digest("sha256:x"),)))) == []


def test_a_time_that_was_set() -> None:
    found = list(changes(run(), run(), (315532800, ""), (5, "")))
    assert found == [Change("SOURCE_DATE_EPOCH", "", None, "5")]


def test_times_that_are_kept_now() -> None:
    found = list(changes(run(), run(), (5, ""), (5, "limit")))
    assert found == [Change("--timestamps", "", "fixed", "keep")]
