"""The rules for what a stream of entries adds up to."""

from __future__ import annotations

from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.tree import Tree


def added_up(*entries: Entry) -> list[tuple[str, str]]:
    tree = Tree()
    for entry in entries:
        tree.place(entry)
    return [(entry.path, entry.kind) for entry in tree.entries()]


def test_parents_that_are_missing_are_folders_of_root() -> None:
    tree = Tree()
    tree.place(Entry("a/b/c", FILE, 0o600))
    assert tree.entries() == (
        Entry("a", DIRECTORY, 0o755),
        Entry("a/b", DIRECTORY, 0o755),
        Entry("a/b/c", FILE, 0o600),
    )


def test_a_folder_that_comes_again_keeps_its_content() -> None:
    tree = Tree()
    for entry in (Entry("a", DIRECTORY, 0o755), Entry("a/f", FILE), Entry("a", DIRECTORY, 0o700)):
        placed = tree.place(entry)
    assert placed
    assert placed.replaced is None
    assert tree.entries() == (Entry("a", DIRECTORY, 0o700), Entry("a/f", FILE))


def test_a_whiteout_hides_nothing_of_its_own_layer() -> None:
    assert added_up(Entry("f", FILE), Entry("f", WHITEOUT)) == [("f", FILE)]
    assert added_up(Entry("f", WHITEOUT), Entry("f", FILE)) == [("f", FILE)]
    assert added_up(Entry("d", OPAQUE), Entry("d", DIRECTORY), Entry("d/f", FILE)) == [
        ("d", DIRECTORY),
        ("d/f", FILE),
        ("d", OPAQUE),
    ]


def test_a_folder_with_a_whiteout_of_its_name_is_opaque() -> None:
    """The whiteout removes the folder below, the entry makes a new one: nothing of the old shows through."""
    expected = [("d", DIRECTORY), ("d", OPAQUE)]
    assert added_up(Entry("d", DIRECTORY), Entry("d", WHITEOUT)) == expected
    assert added_up(Entry("d", WHITEOUT), Entry("d", DIRECTORY)) == expected


def test_a_hard_link_keeps_what_its_target_was() -> None:
    tree = Tree()
    tree.place(Entry("a", FILE, 0o600, size=3))
    for name in ("b", "c"):
        tree.place(Entry(name, HARDLINK, link="a"))
    tree.place(Entry("a", SYMLINK, link="elsewhere"))
    assert {entry.path: (entry.kind, entry.size, entry.link) for entry in tree.entries()} == {
        "b": (FILE, 3, ""),
        "c": (HARDLINK, 0, "b"),
        "a": (SYMLINK, 0, "elsewhere"),
    }


def test_a_hard_link_to_a_hard_link_names_the_first() -> None:
    tree = Tree()
    for entry in (Entry("a", FILE), Entry("b", HARDLINK, link="a"), Entry("c", HARDLINK, link="b")):
        tree.place(entry)
    assert [entry.link for entry in tree.entries()] == ["", "a", "a"]


def test_links_in_the_middle_of_a_path_are_followed_within_the_root() -> None:
    links = [
        Entry("lib", SYMLINK, link="usr/lib"),
        Entry("x", DIRECTORY),
        Entry("x/up", SYMLINK, link="../../lib"),
    ]
    found = added_up(*links, Entry("lib/a", FILE), Entry("x/up/b", FILE), Entry("lib/gone", WHITEOUT))
    assert found[-5:] == [
        ("usr", DIRECTORY),
        ("usr/lib", DIRECTORY),
        ("usr/lib/a", FILE),
        ("usr/lib/b", FILE),
        ("usr/lib/gone", WHITEOUT),
    ]
