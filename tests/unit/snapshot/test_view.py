"""The merged view of layers, rule by rule. (test_changes_property.py compares it with real mounts.)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wherry.base.errors import NotFound, WherryError
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.view import View
from wherry.store.store import Store


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Layers]:
    with Store.open(str(tmp_path)) as store:
        yield Layers(store)


Item = Entry | tuple[Entry, bytes]


def folder(path: str, mode: int = 0o755) -> Item:
    return Entry(path, DIRECTORY, mode)


def file(path: str, text: str = "") -> Item:
    return Entry(path, FILE, 0o644, size=len(text)), text.encode()


def view_of(layers: Layers, *contents: Sequence[Item]) -> View:
    """A view of one layer for each list, the lowest first."""
    return View(layers, [add(layers, content) for content in contents])


def add(layers: Layers, content: Sequence[Item]) -> Digest:
    def write(writer: LayerWriter) -> None:
        for item in content:
            if isinstance(item, Entry):
                writer.add(item)
            else:
                writer.add(*item)

    return layers.add_tar(write).diff_id


def paths(view: View, below: str = "") -> list[str]:
    return [found.entry.path for found in view.walk(below)]


def test_folders_of_several_layers_merge_and_the_highest_one_s_mode_counts(layers: Layers) -> None:
    view = view_of(layers, [folder("d", 0o700), file("d/low")], [folder("d", 0o711), file("d/high")])
    assert view.children("d") == ["high", "low"]
    found = view.lookup("d")
    assert found and (found.entry.mode, found.diff_id) == (0o711, view.diff_ids[1])


def test_a_whiteout_hides_a_file_and_a_higher_layer_brings_it_back(layers: Layers) -> None:
    low = [folder("d"), file("d/x", "low"), file("d/y")]
    gone = [folder("d"), Entry("d/x", WHITEOUT)]
    again = [folder("d"), file("d/x", "again")]
    assert view_of(layers, low, gone).children("d") == ["y"]
    assert view_of(layers, low, gone).lookup("d/x") is None
    assert view_of(layers, low, gone, again).read("d/x") == b"again"


def test_a_whiteout_of_a_folder_hides_what_is_in_it(layers: Layers) -> None:
    view = view_of(layers, [folder("d"), folder("d/e"), file("d/e/x")], [Entry("d", WHITEOUT)])
    assert paths(view) == [""]
    assert view.lookup("d/e/x") is None
    assert view.children("d") == []


def test_an_opaque_folder_hides_lower_layers_and_not_its_own(layers: Layers) -> None:
    view = view_of(
        layers, [folder("d"), file("d/x"), file("d/y")], [folder("d"), Entry("d", OPAQUE), file("d/y")]
    )
    assert paths(view) == ["", "d", "d/y"]


def test_a_whiteout_beside_a_folder_of_its_name_means_a_new_folder(layers: Layers) -> None:
    view = view_of(layers, [folder("d"), file("d/x")], [Entry("d", WHITEOUT), folder("d"), file("d/y")])
    assert paths(view) == ["", "d", "d/y"]


def test_an_opaque_root_hides_everything(layers: Layers) -> None:
    assert paths(view_of(layers, [file("x")], [Entry("", OPAQUE), file("y")])) == ["", "y"]


def test_a_file_in_place_of_a_folder_ends_it_for_the_layers_above(layers: Layers) -> None:
    low, middle, high = [folder("d"), file("d/x")], [file("d", "file")], [folder("d"), file("d/y")]
    assert paths(view_of(layers, low, middle)) == ["", "d"]
    assert view_of(layers, low, middle).lookup("d/x") is None
    assert paths(view_of(layers, low, middle, high)) == ["", "d", "d/y"]


def test_a_folder_over_a_symlink_does_not_reach_where_it_led(layers: Layers) -> None:
    view = view_of(
        layers,
        [folder("real"), file("real/x"), Entry("d", SYMLINK, link="real")],
        [folder("d"), file("d/y")],
    )
    assert view.children("d") == ["y"]
    assert view.children("real") == ["x"]


def test_a_hard_link_is_found_as_the_file_it_shares(layers: Layers) -> None:
    view = view_of(layers, [file("a", "text"), Entry("b", HARDLINK, link="a")], [Entry("a", WHITEOUT)])
    found = view.lookup("b")
    assert found and (found.entry.path, found.entry.kind, found.entry.size) == ("b", FILE, 4)
    assert view.read("b") == b"text"
    with view.open(found) as content:
        assert content.read() == b"text"


def test_the_same_layer_may_come_twice(layers: Layers) -> None:
    one, other = add(layers, [file("x", "one")]), add(layers, [Entry("x", WHITEOUT), file("y")])
    assert paths(View(layers, [one, other, one])) == ["", "x", "y"]


def test_an_image_without_layers_has_a_root(layers: Layers) -> None:
    view = View(layers, [])
    found = view.lookup("/")
    assert found and found.entry == Entry("", DIRECTORY, 0o755) and found.diff_id == ""
    assert paths(view) == [""]
    assert not view.exists("etc")


def test_the_root_is_as_the_highest_layer_with_an_entry_for_it_says(layers: Layers) -> None:
    view = view_of(layers, [folder("", 0o700)], [folder("", 0o711)], [file("x")])
    found = view.lookup("")
    assert found and found.entry.mode == 0o711


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("usr/lib", "usr/lib"),
        ("/bin/sh", "usr/bin/sh"),
        ("bin/../lib", "usr/lib"),
        ("../../bin", "usr/bin"),
        ("up/x", "x"),
        ("absolute/x", "usr/bin/x"),
        ("dangling/x", "nowhere/x"),
        ("new/folder/../other", "new/other"),
        ("./usr//bin/.", "usr/bin"),
        ("", ""),
    ],
)
def test_links_are_followed_inside_the_root(layers: Layers, path: str, resolved: str) -> None:
    view = view_of(
        layers,
        [
            folder("usr"),
            folder("usr/bin"),
            folder("usr/lib"),
            Entry("bin", SYMLINK, link="usr/bin"),
            Entry("up", SYMLINK, link="../../../.."),
            Entry("absolute", SYMLINK, link="/bin"),
            Entry("dangling", SYMLINK, link="nowhere"),
        ],
    )
    assert view.resolve(path) == resolved


def test_the_last_link_can_be_left_alone(layers: Layers) -> None:
    view = view_of(
        layers, [folder("d"), Entry("l", SYMLINK, link="d"), folder("d/e"), Entry("d/m", SYMLINK, link="e")]
    )
    assert view.resolve("l/m", follow_last=False) == "d/m"
    assert view.resolve("l/m") == "d/e"


def test_forty_links_are_followed_and_no_more(layers: Layers) -> None:
    chain: list[Item] = [Entry(f"l{number}", SYMLINK, link=f"l{number + 1}") for number in range(41)]
    view = view_of(layers, [*chain, file("l41"), Entry("circle", SYMLINK, link="circle")])
    assert view.resolve("l1") == "l41"
    with pytest.raises(WherryError, match="too many symbolic links in '/l0' of the image"):
        view.resolve("/l0")
    with pytest.raises(WherryError, match="too many symbolic links"):
        view.exists("circle/x")


def test_read_gives_small_regular_files_alone(layers: Layers) -> None:
    view = view_of(
        layers, [folder("etc"), file("etc/passwd", "root"), Entry("p", SYMLINK, link="/etc/passwd")]
    )
    assert view.read("p") == b"root"
    assert view.read_if_there("etc/group") == b""
    with pytest.raises(NotFound, match="no file /etc/group"):
        view.read("etc/group")
    with pytest.raises(NotFound, match="no file /etc"):
        view.read("etc")
    with pytest.raises(WherryError, match="larger than 3 bytes"):
        view.read("etc/passwd", limit=3)


def test_walk_gives_parents_first_and_names_in_order(layers: Layers) -> None:
    view = view_of(
        layers,
        [folder("b"), file("b/z"), folder("b/c"), file("b/c/x"), file("a")],
        [file("b-c"), folder("b")],
    )
    assert paths(view) == ["", "a", "b", "b/c", "b/c/x", "b/z", "b-c"]
    assert paths(view, "/b/c/") == ["b/c", "b/c/x"]
    assert paths(view, "b/nothing") == []


def test_a_path_may_have_two_thousand_parts(layers: Layers) -> None:
    parts = ["d"] * 2000
    view = view_of(layers, [folder("/".join(parts[:count])) for count in range(1, 2001)])
    assert view.exists("/".join(parts))
    assert len(paths(view)) == 2001
