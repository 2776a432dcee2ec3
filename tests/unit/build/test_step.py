"""Recipe digests: golden, so that no change makes old records lie; sensitive to every input."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.build.step import RECIPE_VERSION, Base, Copy, Folder, Operation, Remote, Run, exact_key, recipe
from wherry.oci.digest import Digest

RUN = Run(("/bin/sh", "-c", "make"), (("PATH", "/bin"), ("A", "1")), "app", "/src")
COPY = Copy(("a", "b/*"), "/app/", owner="1:2", mode="755")
FOLDER = Folder("/app", "app")

# Who changes one of these on purpose raises RECIPE_VERSION: records of the old recipes must not be found.
GOLDEN: dict[Operation, str] = {
    RUN: "sha256:b6034d420760cdf0",
    COPY: "sha256:9c5a9f89a08268f4",
    FOLDER: "sha256:91246d93da63bfb6",
}


def test_version_and_recipes_are_golden() -> None:
    assert RECIPE_VERSION == 1
    assert {item: recipe(item, "linux/amd64", 0)[: len(text)] for item, text in GOLDEN.items()} == GOLDEN


@pytest.mark.parametrize(
    ("operation", "field", "value"),
    [
        (RUN, "args", ("/bin/sh", "-c", "make ")),
        (RUN, "args", ("/bin/sh", "-c make")),
        (RUN, "environment", (("PATH", "/bin"), ("A", "2"))),
        (RUN, "environment", (("A", "1"), ("PATH", "/bin"))),
        (RUN, "user", "root"),
        (RUN, "folder", "/"),
        (RUN, "network", "none"),
        (RUN, "scripts", (("EOF", "#!/bin/sh\n"),)),
        (COPY, "patterns", ("a", "b")),
        (COPY, "target", "/app"),
        (COPY, "source", 3),
        (COPY, "owner", "1:3"),
        (COPY, "mode", "754"),
        (COPY, "unpack", True),
        (COPY, "inline", (("f", "text"),)),
        (COPY, "excludes", ("*.md",)),
        (COPY, "parents", True),
        (COPY, "remotes", (Remote("https://a/b"),)),
        (COPY, "remotes", (Remote("https://a/b", checksum="sha256:1"),)),
        (FOLDER, "path", "/ap"),
        (FOLDER, "owner", ""),
    ],
)
def test_every_field_counts(operation: Any, field: str, value: object) -> None:
    changed = operation._replace(**{field: value})
    assert recipe(changed, "linux/amd64", 0) != recipe(operation, "linux/amd64", 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "https://a/c"),
        ("is_git", True),
        ("checksum", "1"),
        ("keep_git_dir", True),
        ("unpack", True),
    ],
)
def test_every_field_of_a_remote_source_counts(field: str, value: object) -> None:
    remote = Remote("https://a/b")
    digests = {
        recipe(COPY._replace(remotes=(item,)), "p", 0)
        for item in (remote, remote._replace(**{field: value}))  # type: ignore[arg-type]
    }
    assert len(digests) == 2


def test_platform_and_epoch_count() -> None:
    digests = {recipe(RUN, "linux/amd64", 0), recipe(RUN, "linux/arm64", 0), recipe(RUN, "linux/amd64", 1)}
    assert len(digests) == 3


def test_operations_of_equal_fields_differ() -> None:
    assert recipe(Folder("a", "b"), "p", 0) != recipe(Base((Digest("a"), Digest("b"))), "p", 0)


def test_number_label_and_name_of_a_source_do_not_count() -> None:
    one = COPY._replace(source=1, source_label="stage 'a'")
    other = COPY._replace(source=7, source_label="stage 'b'", context="c")
    assert recipe(one, "p", 0) == recipe(other, "p", 0)


def test_keys_differ_by_recipe_parent_and_content() -> None:
    first, second = (recipe(RUN, "p", epoch) for epoch in (0, 1))
    keys = {
        exact_key(first, first),
        exact_key(first, second),
        exact_key(second, first),
        exact_key(first, first, "x"),
    }
    assert len(keys) == 4


def test_names_that_are_no_text_have_a_recipe() -> None:
    operation: Operation = COPY._replace(patterns=("\udcff",))
    assert recipe(operation, "p", 0) != recipe(COPY, "p", 0)
