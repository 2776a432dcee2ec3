"""`--exclude` and `--parents`: the frontend's own cases, and that no record of other patterns is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.trees import tree
from wherry.base.errors import WherryError
from wherry.build.build import Built, build
from wherry.build.options import Options
from wherry.store.store import Store

Context = Callable[[Mapping[str, str | bytes]], Path]

FILES = {
    "home.txt": "1",
    "homer": "2",
    "d1/a.png": "3",
    "d1/b.txt": "4",
    "d1/sub/c.png": "5",
    "d1/sub/e.txt": "6",
    "d2/f.txt": "7",
    "t/a/b/c/d/foo": "",
    "t/a/b/c/d/e/bay": "",
    "t/a/b2/c/d/e/bar": "",
    "t/a/b/c2/d/e/baz": "",
    "t/a/b/c2/d/e2/baz": "",
}


def made(store: Store, context: Context, *lines: str) -> Built:
    text = "\n".join(["FROM scratch", *lines, ""])
    return build(store, Options(context=str(context({**FILES, "Dockerfile": text}))))


def names(store: Store, context: Context, *lines: str) -> list[str]:
    """All paths, folders with a slash at their end."""
    found = tree(store, made(store, context, *lines).image)
    return sorted(path + ("/" if node.kind == "d" else "") for path, node in found.items())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY --exclude=*.png d1 /", ["b.txt", "sub/", "sub/c.png", "sub/e.txt"]),
        ("COPY --exclude=**/*.png d1 /", ["b.txt", "sub/", "sub/e.txt"]),
        ("COPY --exclude=*/*.png --exclude=*.txt d1 /", ["a.png", "sub/", "sub/e.txt"]),
        ("COPY --exclude=sub d1 /", ["a.png", "b.txt"]),
        ("COPY --exclude=sub --exclude=!sub/e.txt d1 /", ["a.png", "b.txt", "sub/", "sub/e.txt"]),
        ("COPY --exclude=d1/sub d1 /", ["a.png", "b.txt", "sub/", "sub/c.png", "sub/e.txt"]),
        ("COPY --exclude=*.txt hom* /x/", ["x/", "x/homer"]),
        ("COPY --exclude=*.txt d* /x/", ["x/", "x/a.png", "x/sub/", "x/sub/c.png", "x/sub/e.txt"]),
        ("ADD --exclude=* d* /x", ["x/"]),
        ("ADD --exclude=**/*.png --exclude=sub d1 /", ["b.txt"]),
        ("COPY --link --exclude=*.png --exclude=sub d1 /", ["b.txt"]),
    ],
)
def test_excluded_paths_are_relative_to_their_source(
    store: Store, context: Context, line: str, expected: list[str]
) -> None:
    assert names(store, context, line) == expected


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("d1/sub/e.txt", ["d1/", "d1/sub/", "d1/sub/e.txt"]),
        ("./d1/sub/e.txt d2/f.txt", ["d1/", "d1/sub/", "d1/sub/e.txt", "d2/", "d2/f.txt"]),
        ("d1/./sub/*.txt", ["sub/", "sub/e.txt"]),
        ("d1/**/*.txt", ["d1/", "d1/b.txt", "d1/sub/", "d1/sub/e.txt"]),
        ("t/a/b/./c/d", ["c/", "c/d/", "c/d/e/", "c/d/e/bay", "c/d/foo"]),
        ("/t/a/b2/./c/d/.", ["c/", "c/d/", "c/d/e/", "c/d/e/bar"]),
        ("t/a/./b2/./c", ["b2/", "b2/c/", "b2/c/d/", "b2/c/d/e/", "b2/c/d/e/bar"]),
        ("t/a/b*/./c/**/e", ["c/", "c/d/", "c/d/e/", "c/d/e/bar", "c/d/e/bay"]),
        ("t/a/b/c*/./d/**/baz t/a/b*/./c/**/bar",
         ["c/", "c/d/", "c/d/e/", "c/d/e/bar", "d/", "d/e/", "d/e/baz", "d/e2/", "d/e2/baz"]),
        ("t/a/b9*/c", []),
        ("t/a/b/./c9*", []),
    ],
)  # fmt: skip
def test_parents_from_the_root_or_the_pivot(
    store: Store, context: Context, patterns: str, expected: list[str]
) -> None:
    found = names(store, context, f"COPY --parents {patterns} /out/")
    assert found == sorted(["out/", *(f"out/{name}" for name in expected)])


def test_parents_and_excluded_paths_from_a_stage(store: Store, context: Context) -> None:
    lines = ("COPY . /src", "FROM scratch", "COPY --from=0 --parents --exclude=**/*.png /src/./d1 /")
    assert names(store, context, *lines) == ["d1/", "d1/b.txt", "d1/sub/", "d1/sub/e.txt"]


@pytest.mark.parametrize("pattern", ["nothing", "d1/nothing", "d1/./nothing", "home.txt/x"])
def test_parents_of_what_is_not_there(store: Store, context: Context, pattern: str) -> None:
    with pytest.raises(WherryError, match="is not in the build context") as caught:
        made(store, context, f"COPY --parents {pattern} /out/")
    assert str(caught.value.where) == "Dockerfile:2"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("COPY d1 /x/", "COPY --exclude=sub d1 /x/"),
        ("COPY --exclude=sub d1 /x/", "COPY --exclude=*.png d1 /x/"),
        ("COPY d2/f.txt /x/", "COPY --parents d2/f.txt /x/"),
        ("COPY none* /x/", "COPY --parents none* /x/"),
    ],
)
@pytest.mark.parametrize("stage", [False, True])
def test_other_patterns_are_another_step(
    store: Store, context: Context, first: str, second: str, stage: bool
) -> None:
    def of(line: str) -> Built:
        if not stage:
            return made(store, context, line)
        return made(store, context, "COPY . /", "FROM scratch", line.replace("COPY ", "COPY --from=0 "))

    one, other = of(first), of(second)
    assert one.image != other.image
    assert of(first).executed == of(second).executed == 0


def test_an_archive_and_a_folder_that_has_it_are_added_apart(store: Store, context: Context) -> None:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("inside"))
    files = {"d/a.tar": buffer.getvalue(), "d/b.tar": b"none"}

    def of(line: str) -> set[str]:
        folder = context({**files, "Dockerfile": f"FROM scratch\n{line}\n"})
        return set(tree(store, build(store, Options(context=str(folder))).image))

    assert of("ADD d/a.tar d/b.tar /x/") == {"x", "x/inside", "x/b.tar"}
    assert of("ADD d /x/") == {"x", "x/a.tar", "x/b.tar"}
