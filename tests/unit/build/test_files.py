"""Sources of COPY in a build context: patterns, links, ignore files, and nothing outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import NotFound, WherryError
from wherry.build.context import Context
from wherry.build.filedigests import FileDigests
from wherry.build.files import Trees, _component, follow, select
from wherry.build.gather import content_of, gather, unknown_bytes, with_digests
from wherry.build.step import Copy
from wherry.dockerfile.ignore import Patterns
from wherry.store.store import remove_tree

Open = Callable[..., Context]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    contexts: list[Context] = []

    def make(ignored: str = "") -> Context:
        digests = FileDigests(str(tmp_path), str(tmp_path / "context"))
        context = Context(str(tmp_path / "context"), Patterns.parse(ignored), digests)
        contexts.append(context)
        return context

    root = tmp_path / "context"
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.py", "e[1].txt", ".hidden"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside.txt").write_text("secret")
    yield make
    for context in contexts:
        context.close()


def names(context: Context, *patterns: str) -> list[str]:
    return [source.entry.path for source in select(context, patterns)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.txt", ["a.txt"]),
        ("./a.txt", ["a.txt"]),
        ("/a.txt", ["a.txt"]),
        ("sub/../a.txt", ["a.txt"]),
        (".", [""]),
        ("/", [""]),
        ("sub", ["sub"]),
        ("sub/", ["sub"]),
        ("*.txt", ["a.txt", "b.txt", "e[1].txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[a-b].txt", ["a.txt", "b.txt"]),
        ("[^a].txt", ["b.txt"]),
        ("e\\[1].txt", ["e[1].txt"]),
        ("*/c.txt", ["sub/c.txt"]),
        ("*/*/*.py", ["sub/deep/d.py"]),
        ("*", [".hidden", "a.txt", "b.txt", "e[1].txt", "sub"]),
        ("nothing*", []),
    ],
)
def test_patterns(opened: Open, pattern: str, expected: list[str]) -> None:
    assert names(opened(), pattern) == expected


def test_a_name_that_there_is_not_is_an_error_with_a_suggestion(opened: Open) -> None:
    with pytest.raises(NotFound) as caught:
        names(opened(), "sub/c.tx")
    assert caught.value.hint == "did you mean 'sub/c.txt'?"


@pytest.mark.parametrize("pattern", ["../outside.txt", "sub/../../outside.txt", ".."])
def test_what_is_outside_is_not_found(opened: Open, pattern: str) -> None:
    if pattern == "..":
        assert names(opened(), pattern) == [""]
        return
    with pytest.raises(NotFound):
        names(opened(), pattern)


def test_links_are_followed_inside_as_if_the_context_were_all(opened: Open, tmp_path: Path) -> None:
    root = tmp_path / "context"
    (root / "rel").symlink_to("sub/deep")
    (root / "abs").symlink_to("/a.txt")
    (root / "up").symlink_to("../../../b.txt")
    context = opened()
    assert names(context, "rel/d.py", "abs", "up") == ["sub/deep/d.py", "a.txt", "b.txt"]


def test_a_link_out_of_the_context_is_refused(opened: Open, tmp_path: Path) -> None:
    root = tmp_path / "context"
    (root / "leak").symlink_to(tmp_path / "outside.txt")
    (root / "folder").symlink_to(tmp_path)
    for pattern in ("leak", "folder/outside.txt"):
        with pytest.raises(NotFound, match="leads out of the build context"):
            names(opened(), pattern)


def test_a_circle_of_links_ends(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context" / "one").symlink_to("two")
    (tmp_path / "context" / "two").symlink_to("one")
    with pytest.raises(WherryError, match="too many symbolic links"):
        follow(opened(), "one")


def test_walk_gives_parents_first_and_links_as_links(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context" / "sub" / "link").symlink_to("/etc/passwd")
    found = [(entry.path, entry.kind) for entry in opened().walk("sub")]
    assert found == [
        ("sub/c.txt", "f"),
        ("sub/deep", "d"),
        ("sub/deep/d.py", "f"),
        ("sub/link", "l"),
    ]


def test_ignored_files_are_not_there(opened: Open) -> None:
    context = opened("*.txt\nsub\n!sub/deep/d.py\n")
    assert [entry.path for entry in context.walk("")] == [".hidden", "sub", "sub/deep", "sub/deep/d.py"]
    with pytest.raises(NotFound, match="excluded from the build context"):
        names(context, "a.txt")


def test_a_thousand_folders_in_each_other(opened: Open, tmp_path: Path) -> None:
    deep = "/".join(["deep", *"d" * 1500])
    subprocess.run(["mkdir", "-p", str(tmp_path / "context" / deep)], check=True)
    (tmp_path / "context" / deep / "far.txt").touch()
    assert sum(1 for _ in opened().walk("deep")) == 1501
    remove_tree(str(tmp_path / "context" / "deep"))


def test_ignored_folders_are_there_for_what_is_kept_below_them(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context/sub/deep/e/f").mkdir(parents=True)
    (tmp_path / "context/sub/deep/e/f/kept").touch()
    (tmp_path / "context/sub/z").mkdir()
    context = opened("sub\n!sub/deep/e/f/kept\n!sub/z/nothing")
    kept = [entry.path for entry in context.walk("") if entry.path.startswith("sub")]
    assert kept == ["sub", "sub/deep", "sub/deep/e", "sub/deep/e/f", "sub/deep/e/f/kept"]


def test_sockets_are_left_out_and_device_nodes_refused(opened: Open, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "context" / "sub" / "socket"))
        assert "sub/socket" not in [entry.path for entry in opened().walk("sub")]


def test_a_file_swapped_for_a_link_is_not_followed(opened: Open, tmp_path: Path) -> None:
    context = opened()
    assert context.lookup("a.txt")
    (tmp_path / "context" / "a.txt").unlink()
    (tmp_path / "context" / "a.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(WherryError), context.open("a.txt"):
        pass


def test_a_folder_swapped_for_a_link_is_not_followed(opened: Open, tmp_path: Path) -> None:
    context = opened()
    (tmp_path / "context" / "sub").rename(tmp_path / "context" / "moved")
    (tmp_path / "context" / "sub").symlink_to(tmp_path)
    with pytest.raises(WherryError), context.open("sub/outside.txt"):
        pass


def test_digests_are_remembered_and_a_changed_file_is_read_again(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "context" / "a.txt"
    old = os.stat(path).st_mtime - 100
    os.utime(path, (old, old))
    import time

    time.sleep(0.1)
    first = opened()
    gathered = gather(Copy(("a.txt",), "/"), Trees(first))
    assert unknown_bytes(gathered) == 5
    content = content_of(with_digests(gathered, Trees(first)))
    first.save()
    again = gather(Copy(("a.txt",), "/"), Trees(opened()))
    assert unknown_bytes(again) is None
    assert content_of(again) == content
    path.write_text("other")
    os.utime(path, (old, old))
    changed = gather(Copy(("a.txt",), "/"), Trees(opened()))
    assert unknown_bytes(changed) == 5


def test_a_file_changed_just_now_is_not_trusted(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context" / "a.txt").write_text("fresh")
    context = opened()
    context.hash_file("a.txt")
    entry = context.lookup("a.txt")
    assert entry is not None and entry.digest == b""


@pytest.mark.parametrize(
    "change", ["content", "mode", "name", "kind", "link", "add", "remove", "empty folder"]
)
def test_each_change_of_a_tree_changes_its_content(opened: Open, tmp_path: Path, change: str) -> None:
    root = tmp_path / "context"
    (root / "link").symlink_to("a.txt")

    def content() -> str:
        context = Trees(opened())
        return content_of(with_digests(gather(Copy((".",), "/"), context), context))

    before = content()
    assert content() == before
    if change == "content":
        (root / "a.txt").write_text("A.txt")
    elif change == "mode":
        (root / "a.txt").chmod(0o755)
    elif change == "name":
        (root / "a.txt").rename(root / "A.txt")
    elif change == "kind":
        (root / "a.txt").unlink()
        (root / "a.txt").mkdir()
    elif change == "link":
        (root / "link").unlink()
        (root / "link").symlink_to("b.txt")
    elif change == "add":
        (root / "new").touch()
    elif change == "remove":
        (root / ".hidden").unlink()
    else:
        (root / "empty").mkdir()
    assert content() != before


def test_times_do_not_count(opened: Open, tmp_path: Path) -> None:
    def content() -> str:
        context = Trees(opened())
        return content_of(with_digests(gather(Copy((".",), "/"), context), context))

    before = content()
    os.utime(tmp_path / "context" / "a.txt", (1, 1))
    os.utime(tmp_path / "context" / "sub", (1, 1))
    assert content() == before


def test_files_named_by_two_sources_the_later_counts(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context" / "sub" / "a.txt").write_text("later")
    gathered = gather(Copy(("a.txt", "sub/a.txt"), "/x/"), Trees(opened()))
    assert [(item.name, item.entry.path) for item in gathered.items] == [("a.txt", "sub/a.txt")]


def test_a_file_and_a_folder_for_one_name_clash(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "context" / "other" / "a.txt").mkdir(parents=True)
    with pytest.raises(WherryError, match=r"cannot copy to .a\.txt"):
        gather(Copy(("a.txt", "other"), "/x/"), Trees(opened()))


@given(st.text("ab*?[]^-\\!.", max_size=8), st.text("ab[]^-\\!.", max_size=6))
def test_no_pattern_is_anything_but_a_match_or_an_error(pattern: str, name: str) -> None:
    try:
        _component(pattern).fullmatch(name)
    except WherryError:
        assert "[" in pattern


@pytest.mark.parametrize("pattern", ["[", "[a", "[b-a]", "a["])
def test_bad_wildcards(opened: Open, pattern: str) -> None:
    with pytest.raises(WherryError, match="bad wildcard"):
        names(opened(), pattern)
