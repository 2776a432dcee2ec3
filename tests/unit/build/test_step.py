"""Recipe digests: golden, so that no change makes old records lie; sensitive to every input."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.build.step import (
    RECIPE_VERSION,
    Base,
    Copy,
    Folder,
    Mount,
    Operation,
    Remote,
    Run,
    exact_key,
    recipe,
)
from wherry.oci.digest import Digest

RUN = Run(("/bin/sh", "-c", "make"), (("PATH", "/bin"), ("A", "1")), "app", "/src")
COPY = Copy(("a", "b/*"), "/app/", owner="1:2", mode="755")
FOLDER = Folder("/app", "app")

MOUNT = Mount("cache", "/cache")
REMOTE = Remote("https://a/b")
FULL_RUN = Run(
    ("sh",), (("A", "1"),), "u", "/", "none", (("EOF", "text"),),
    (Mount("bind", "/m", 0, "s", False, "i", "locked", True, 0o600, 1, 2, 3, "E", "label"),),
)  # fmt: skip
FULL_COPY = Copy(
    ("a",), "/t", 1, "o", "755", True, "label", (("f", "text"),), ("*.md",), True, "context",
    (Remote("https://a/b", True, "sha256:1", True, True),),
)  # fmt: skip

# Who changes one of these on purpose raises RECIPE_VERSION: records of the old recipes must not be found.
GOLDEN: dict[Operation, str] = {
    RUN: "sha256:b6034d420760cdf0",
    COPY: "sha256:9c5a9f89a08268f4",
    FOLDER: "sha256:91246d93da63bfb6",
    Base((Digest("sha256:1"), Digest("sha256:2"))): "sha256:0685af99861f833b",
    FULL_RUN: "sha256:5748d5f382b35527",
    FULL_COPY: "sha256:f8fa6b0ad675df8d",
    RUN._replace(mounts=(MOUNT,)): "sha256:3fe544ef2f803a2a",
    COPY._replace(remotes=(REMOTE,)): "sha256:ffabdde34a7c4fd9",
}


def test_version_and_recipes_are_golden() -> None:
    assert RECIPE_VERSION == 1
    assert {item: recipe(item, "linux/amd64", 0)[: len(text)] for item, text in GOLDEN.items()} == GOLDEN


OTHERS: dict[tuple[type, str], tuple[object, ...]] = {
    (Run, "args"): (("/bin/sh", "-c", "make "), ("/bin/sh", "-c make"), ("/bin/sh", "-c"), ()),
    (Run, "environment"): (
        (("PATH", "/bin"), ("A", "2")),
        (("A", "1"), ("PATH", "/bin")),
        (("PATH", "/bin"),),
        (("PATH", "/binA1"),),
        (("PATH", "/bin"), ("A1", "")),
    ),
    (Run, "user"): ("root", ""),
    (Run, "folder"): ("/", "/src/"),
    (Run, "network"): ("none", "host"),
    (Run, "scripts"): ((("EOF", "#!/bin/sh\n"),), (("EOF", "#!/bin/sh"),), (("E", "OF#!/bin/sh\n"),)),
    (Run, "mounts"): ((MOUNT,), (MOUNT, MOUNT), (MOUNT._replace(kind="tmpfs"),)),
    (Copy, "patterns"): (("a", "b"), ("b/*", "a"), ("a b/*",)),
    (Copy, "target"): ("/app", "/"),
    (Copy, "source"): (3,),
    (Copy, "owner"): ("1:3", "1", ""),
    (Copy, "mode"): ("754", "", "0755"),
    (Copy, "unpack"): (True,),
    (Copy, "inline"): ((("f", "text"),), (("f", "tex"),), (("ft", "ext"),)),
    (Copy, "excludes"): (("*.md",), ("*", ".md")),
    (Copy, "parents"): (True,),
    (Copy, "remotes"): ((REMOTE,), (REMOTE, REMOTE)),
    (Folder, "path"): ("/ap", "/app/"),
    (Folder, "owner"): ("", "1"),
    (Base, "diff_ids"): ((Digest("1"),), (Digest("2"), Digest("1")), ()),
    (Mount, "kind"): ("tmpfs",),
    (Mount, "target"): ("/cache/", ""),
    (Mount, "input"): (0, 1),
    (Mount, "source"): ("a", "/"),
    (Mount, "read_only"): (False,),
    (Mount, "id"): ("a",),
    (Mount, "sharing"): ("locked", "private"),
    (Mount, "required"): (True,),
    (Mount, "mode"): (0, 0o600),
    (Mount, "uid"): (0, 1),
    (Mount, "gid"): (0, 1),
    (Mount, "size"): (1,),
    (Mount, "env"): ("A",),
    (Remote, "text"): ("https://a/c",),
    (Remote, "is_git"): (True,),
    (Remote, "checksum"): ("sha256:1", "sha256:2"),
    (Remote, "keep_git_dir"): (True,),
    (Remote, "unpack"): (True,),
}
"""Other values of every field, of the operations here, that make another recipe."""
SILENT = {(Copy, "source_label"), (Copy, "context"), (Mount, "label")}
"""What says nothing, for the reason that `recipe` gives."""
HOLDERS: dict[type, Any] = {
    Run: RUN,
    Copy: COPY,
    Folder: FOLDER,
    Base: Base((Digest("1"), Digest("2"))),
    Mount: MOUNT,
    Remote: REMOTE,
}


def test_every_field_of_every_operation_has_a_case() -> None:
    """Who adds a field says here what it does to recipes."""
    fields = {(kind, field) for kind in HOLDERS for field in kind._fields}  # type: ignore[attr-defined]
    assert fields == OTHERS.keys() | SILENT


def whole(kind: type, fields: dict[str, object]) -> Digest:
    """The recipe of the operation of that kind, or of one that one of that kind is a part of."""
    part = HOLDERS[kind]._replace(**fields)
    if kind is Mount:
        part = RUN._replace(mounts=(part,))
    elif kind is Remote:
        part = COPY._replace(remotes=(part,))
    return recipe(part, "linux/amd64", 0)


@pytest.mark.parametrize(("kind", "field"), OTHERS)
def test_every_value_of_every_field_counts(kind: type, field: str) -> None:
    values = OTHERS[kind, field]
    assert len({whole(kind, {}), *(whole(kind, {field: value}) for value in values)}) == len(values) + 1


def test_no_two_fields_with_the_same_value_are_one() -> None:
    everything = [whole(kind, {field: values[0]}) for (kind, field), values in OTHERS.items()]
    assert len(set(everything)) == len(everything)


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
