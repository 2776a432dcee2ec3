"""Trees of layers that differ in little: files are linked, and each tree is what it would be without."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.near import held
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci.digest import Digest
from wherry.store.store import Store
from wherry.testing import trees

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners and devices")

SECOND = 1_000_000_000
NAMES = ["a", "b", "c", "d/e", "d/f", "d/g"]


def add(
    store: Store, entries: list[Entry], contents: trees.Contents, near: Digest | None = None
) -> tuple[Layer, str]:
    """The layer, and its tree."""

    def write(writer: LayerWriter) -> None:
        for entry in entries:
            writer.add(entry, contents.get(entry.path))

    layers = Layers(store)
    layer = layers.add_tar(write, near=near)
    return layer, layers.tree(layer.diff_id)


def inode(tree: str, path: str) -> int:
    return os.lstat(f"{tree}/{path}").st_ino


changes = st.dictionaries(
    st.integers(0, 11), st.sampled_from(["content", "mode", "owner", "time", "gone"]), max_size=4
)


def changed(
    entries: list[Entry], contents: trees.Contents, how: dict[int, str]
) -> tuple[list[Entry], trees.Contents]:
    """Files are changed; what is linked to others stays, so that the layer is a valid one."""
    result, now = [], dict(contents)
    linked = {entry.link for entry in entries}
    for place, entry in enumerate(entries):
        kind = how.get(place) if entry.kind == FILE else None
        if kind == "gone" and entry.path not in linked:
            continue
        if kind == "content":
            now[entry.path] = bytes(byte ^ 1 for byte in contents[entry.path])
        elif kind == "mode":
            entry = entry._replace(mode=entry.mode ^ 0o100)
        elif kind == "owner":
            entry = entry._replace(uid=0 if entry.uid else 1)
        elif kind == "time":
            entry = entry._replace(mtime=entry.mtime + SECOND)
        result.append(entry)
    return result, now


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees.layers(), changes)
def test_the_tree_is_what_it_would_be_alone(
    tmp_path_factory: pytest.TempPathFactory,
    first: tuple[list[Entry], trees.Contents],
    how: dict[int, str],
) -> None:
    folder = tmp_path_factory.mktemp("near")
    with Store.open(str(folder / "store")) as store, Store.open(str(folder / "other")) as other:
        earlier, earlier_tree = add(store, *first)
        before = trees.facts(earlier_tree)
        second = changed(*first, how)
        layer, tree = add(store, *second, near=earlier.diff_id)
        alone, tree_alone = add(other, *second)
        assert layer == alone
        assert trees.facts(tree) == trees.facts(tree_alone)
        assert trees.facts(earlier_tree) == before
        shutil.rmtree(store.layers.folder(earlier.diff_id))
        if layer.diff_id != earlier.diff_id:
            assert trees.facts(tree) == trees.facts(tree_alone)
    shutil.rmtree(folder)


def six(**contents: str) -> tuple[list[Entry], trees.Contents]:
    """Six small files; by their last names what is to be in them."""
    data = {name: contents.get(name[-1], name).encode() for name in NAMES}
    files = [Entry(name, FILE, 0o644, 0, 0, SECOND, len(data[name])) for name in NAMES]
    return [*files[:3], Entry("d", DIRECTORY, 0o755, mtime=SECOND), *files[3:]], data


def linked(store: Store, near: tuple[Layer, str]) -> set[str]:
    """What is linked when `d/f` changes."""
    _, tree = add(store, *six(f="changed"), near=near[0].diff_id)
    assert (Path(tree) / "d/f").read_text() == "changed"
    assert [(Path(tree) / name).read_text() for name in NAMES if name != "d/f"] == [
        name for name in NAMES if name != "d/f"
    ]
    return {name for name in NAMES if inode(tree, name) in {inode(near[1], other) for other in NAMES}}


def test_what_is_the_same_is_one_file(store: Store) -> None:
    assert linked(store, add(store, *six())) == set(NAMES) - {"d/f"}


def test_a_file_is_linked_from_its_own_path_only(store: Store) -> None:
    """Two files of one content under other names would seem to be hard links of each other."""
    first = add(store, *six(a="same", b="other"))
    second = add(store, *six(a="same", b="same"), near=first[0].diff_id)
    assert inode(second[1], "a") == inode(first[1], "a")
    assert inode(second[1], "b") not in {inode(tree, "a") for tree in (first[1], second[1])}


def test_through_layers_without_a_tree(store: Store) -> None:
    first = add(store, *six())
    middle = add(store, *six(e="x"), near=first[0].diff_id)
    shutil.rmtree(middle[1])
    last = add(store, *six(e="y"), near=middle[0].diff_id)
    assert {name for name in NAMES if inode(last[1], name) == inode(first[1], name)} == set(NAMES) - {"d/e"}


def test_nothing_is_linked_from_a_tree_that_is_in_use(store: Store) -> None:
    """A program there would see the files' ctime change, and tar fails then."""
    first = add(store, *six())
    with held(first[1]), held(first[1]):
        times = [os.lstat(f"{first[1]}/{name}").st_ctime_ns for name in NAMES]
        assert linked(store, first) == set()
        assert [os.lstat(f"{first[1]}/{name}").st_ctime_ns for name in NAMES] == times


def touched(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def emptied(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def made_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("b")


@pytest.mark.parametrize("damage", [touched, emptied, made_a_link, Path.unlink, lambda path: path.chmod(0)])
def test_a_file_that_is_not_what_it_should_be_is_written_anew(
    store: Store, damage: Callable[[Path], object]
) -> None:
    first = add(store, *six())
    damage(Path(first[1]) / "a")
    _, tree = add(store, *six(f="changed"), near=first[0].diff_id)
    assert (Path(tree) / "a").read_text() == "a"
    assert stat.S_IMODE((Path(tree) / "a").lstat().st_mode) == 0o644


def test_a_damaged_stream_is_seen_where_it_is_read(store: Store) -> None:
    first = add(store, *six())
    layers = Layers(store)

    def write(writer: LayerWriter) -> None:
        entries, contents = six(f="changed")
        for entry in entries:
            writer.add(entry, contents.get(entry.path))

    layer = layers.add_tar(write, near=first[0].diff_id)
    offset = next(entry.offset for entry in layer.entries if entry.path == "d/f")
    with open(f"{store.layers.folder(layer.diff_id)}/tar", "r+b") as file:
        file.seek(offset)
        file.write(b"X")
    with pytest.raises(Exception, match="is damaged"):
        layers.tree(layer.diff_id)


@pytest.mark.parametrize("name", ["", "nonsense", "sha256:" + "0" * 64])
def test_a_name_that_leads_nowhere_does_no_harm(store: Store, name: str) -> None:
    first = add(store, *six())
    layer, tree = add(store, *six(f="changed"), near=first[0].diff_id)
    shutil.rmtree(tree)
    (Path(store.layers.folder(layer.diff_id)) / "near").write_text(name)
    assert (Path(Layers(store).tree(layer.diff_id)) / "d/f").read_text() == "changed"
