"""Layers of other builders, whose streams lack the folders above what they have."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.realtrees import Tree, loose, tree_of, tree_of_view
from support.unpacking import unpack
from wherry.layer.apply import read_index_of
from wherry.layer.entry import DIRECTORY, FILE, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.index import decode, encode
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.changes import commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and owners need root")

FOLDERS = ["a", "a/a", "a/a/a", "a/b", "b", "b/a"]
LEAVES = ["a/f", "a/a/f", "a/a/a/f", "a/b/f", "b/f", "b/a/f"]


def stream(*entries: Entry) -> bytes:
    """The layer as it is given: the writer asks for no parents."""
    parts: list[bytes] = []
    with LayerWriter(parts.append) as writer:
        for entry in entries:
            writer.add(entry, b"" if entry.kind == FILE else None)
        writer.finish()
    return b"".join(parts)


def implied(*entries: Entry) -> tuple[str, ...]:
    layer = read_index_of(io.BytesIO(stream(*entries)))
    assert decode(encode(layer)) == layer
    return layer.implied


def test_what_a_stream_implies() -> None:
    file = Entry("a/b/c", FILE)
    assert implied(file) == ("a", "a/b")
    assert implied(Entry("a", DIRECTORY), file) == ("a/b",)
    assert implied(file, Entry("a", DIRECTORY), Entry("a/b", DIRECTORY)) == ()
    assert implied(Entry("a/b", WHITEOUT)) == ("a",)
    assert implied(Entry("a/b", OPAQUE)) == ("a", "a/b")
    assert implied(Entry("a/b", WHITEOUT), file) == ("a",), "a new folder has nothing from below"
    assert implied(file, Entry("a/b", WHITEOUT)) == ("a",)
    assert implied(file, Entry("a/b", FILE)) == ("a",)


def test_an_index_of_before_there_were_implied_folders() -> None:
    from zlib import crc32

    import msgspec

    layer = read_index_of(io.BytesIO(stream(Entry("a", DIRECTORY))))
    columns = msgspec.msgpack.decode(encode(layer)[:-4])
    data = msgspec.msgpack.encode(columns[:-1])
    assert decode(data + crc32(data).to_bytes(4, "little")) == layer


@pytest.fixture
def add(store: Store) -> Callable[..., Digest]:
    return lambda *entries: Layers(store).add_stream(io.BytesIO(stream(*entries)), extract=False).diff_id


def test_a_view_shows_the_folder_of_the_layers_below(store: Store, add: Callable[..., Digest]) -> None:
    tmp = Entry("tmp", DIRECTORY, 0o1777, 5, 6, 7_000_000_000)
    base, above = add(tmp, Entry("tmp/x", FILE)), add(Entry("tmp/y", FILE))
    view = View(Layers(store), [base, above])
    found = view.lookup("tmp")
    assert found and found.entry == tmp
    assert (view.children("tmp"), view.implied()) == (["x", "y"], ["tmp"])
    for hiding in (Entry("tmp", WHITEOUT), Entry("", OPAQUE), Entry("tmp", SYMLINK, 0o777, link="x")):
        between = View(Layers(store), [base, add(hiding), above]).lookup("tmp")
        assert between and between.entry == Entry("tmp", DIRECTORY, 0o755)
    emptied = View(Layers(store), [base, add(Entry("tmp", OPAQUE)), above])
    found = emptied.lookup("tmp")
    assert found and found.entry == tmp
    assert emptied.children("tmp") == ["y"]


def test_a_layer_that_says_its_folders_has_none() -> None:
    tar = subprocess.run(["tar", "-C", "/etc", "-c", "apt"], capture_output=True, check=True).stdout
    assert read_index_of(io.BytesIO(tar)).implied == ()


@st.composite
def foreign(draw: st.DrawFn) -> list[Entry]:
    """A layer that has its folders or lacks them as it likes. No name is a folder here and a file there."""
    entries = {}
    for path in draw(st.sets(st.sampled_from(FOLDERS))):
        mode, owner = draw(st.sampled_from([0o700, 0o755, 0o1777, 0o750])), draw(st.sampled_from([0, 7]))
        entries[path] = Entry(path, DIRECTORY, mode, owner, owner)
    for path in draw(st.sets(st.sampled_from(LEAVES), max_size=3)):
        entries[path] = Entry(path, draw(st.sampled_from([FILE, WHITEOUT])))
    marks = []
    for path in draw(st.sets(st.sampled_from(FOLDERS), max_size=2)):
        if not any(f"{other}/".startswith(f"{path}/") for other in entries):
            entries[path] = Entry(path, WHITEOUT)
        elif entries.get(path, Entry("", DIRECTORY)).kind == DIRECTORY:
            marks.append(Entry(path, OPAQUE))
    removed = {path for path, entry in entries.items() if entry.kind == WHITEOUT}
    kept = [*marks, *(entries[path] for path in sorted(entries))]  # as the specification advises
    hidden = {mark.path for mark in marks}
    return [
        entry
        for entry in kept
        if not is_below(entry.path, removed)
        and not (entry.kind in (WHITEOUT, OPAQUE) and is_below(entry.path, hidden))
    ]


def is_below(path: str, removed: set[str]) -> bool:
    """Nobody removes what is removed with its folder, and others leave the empty folder out."""
    return any(path.startswith(f"{folder}/") for folder in removed)


def mounted(store: Store, layers: Layers, chain: list[Digest]) -> Tree:
    """The tree, and that a folder copied up only to make and remove something in it is no change."""
    with store.scratch("test") as scratch:
        with overlay(store, layers, chain, scratch) as place:
            for folder in FOLDERS:
                if os.path.isdir(f"{place.path}/{folder}"):
                    os.mkdir(f"{place.path}/{folder}/new")
                    os.rmdir(f"{place.path}/{folder}/new")
            found = tree_of(place.path)
        assert commit(layers, place.upper, View(layers, chain), clamp=None) is None
    return found


def without_empty(tree: Tree, other: Tree) -> Tree:
    """A whiteout below a folder that is nowhere implies it here; umoci makes no folder for nothing."""
    return {
        path: node
        for path, node in tree.items()
        if path in other or (node.mode, node.owner) != (0o755, (0, 0)) or node.kind != DIRECTORY
    }


BASE = [*(Entry(path, DIRECTORY, 0o1771, 3, 4) for path in FOLDERS), *(Entry(path, FILE) for path in LEAVES)]


@root_only
@pytest.mark.needs("umoci")
@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_views_mounts_and_umoci_agree(user: bool, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    layers = Layers(store)

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(foreign(), min_size=1, max_size=3))
    @example([[Entry("a/a/f", FILE)], [Entry("a/f", WHITEOUT)], [Entry("a/a", OPAQUE)]])
    def check(sequence: list[list[Entry]]) -> None:
        chain = []
        for entries in [BASE, *sequence, [Entry("b", DIRECTORY, 0o711)]]:
            chain.append(layers.add_stream(io.BytesIO(stream(*entries)), extract=False).diff_id)
        shown = tree_of_view(View(layers, chain))
        assert loose(mounted(store, layers, chain)) == loose(shown)
        if not user:
            unpacked = loose(tree_of(unpack(layers, tuple(chain), tmp_path / "umoci")))
            assert unpacked == without_empty(loose(shown), unpacked)

    with_own_mounts(check, user=user)
    shutil.rmtree(tmp_path / "umoci", ignore_errors=True)
