"""Random layers merged: what umoci, overlay and a view make of an image is the same as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import stacks
from support.changing import Change, apply, steps
from support.realtrees import Tree, loose, tree_of, tree_of_view
from support.unpacking import unpack
from wherry.image.merge import merged
from wherry.layer.entry import DIRECTORY, FILE, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.changes import commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

Chain = tuple[Digest, ...]
Items = dict[str, tuple[str, int, int, str]]


def checked(examples: int) -> settings:
    wanted = int(os.environ.get("WHERRY_TEST_EXAMPLES", examples))
    return settings(
        max_examples=wanted, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def above(layers: Layers, chain: Chain, kept: int) -> Chain:
    layer = merged(layers, chain, kept)
    return (*chain[:kept], *((layer.diff_id,) if layer else ()))


def added(layers: Layers, entries: list[Entry], foreign: bool = False) -> Digest:
    """A layer; a `foreign` one leaves out the folders above what it has."""
    entries = [entry for entry in entries if not (foreign and entry.kind == DIRECTORY)]

    def write(writer: LayerWriter) -> None:
        for entry in entries:
            if entry.kind == FILE:
                writer.add(entry._replace(digest=b""), b"x" * entry.size)
            else:
                writer.add(entry._replace(digest=b"", size=0))

    return layers.add_tar(write, foreign=foreign).diff_id


def test_a_view_shows_the_same(tmp_path: Path) -> None:
    """Of layers that others could have made: whiteouts of nothing, opaque folders, one that comes twice."""
    with Store.open(f"{tmp_path}/store") as store:
        layers = Layers(store)

        @checked(200)
        @given(
            st.lists(st.tuples(stacks.drawn, st.booleans()), min_size=1, max_size=4),
            st.integers(0, 4),
            st.booleans(),
        )
        def check(contents: list[tuple[Items, bool]], kept: int, twice: bool) -> None:
            chain = tuple(added(layers, stacks.layer(items), foreign) for items, foreign in contents)
            chain = (*chain, chain[0]) if twice else chain
            kept = min(kept, len(chain))
            short = above(layers, chain, kept)
            assert len(short) <= kept + 1
            assert tree_of_view(View(layers, short)) == tree_of_view(View(layers, chain))
            assert above(layers, chain, kept) == short

        check()


@pytest.mark.needs("root", "umoci")
def test_a_mount_and_umoci_show_the_same(tmp_path: Path) -> None:
    """Of layers that steps left, with owners, devices, attributes, links and folders made anew."""

    def check_all() -> None:
        store = Store.open(f"{tmp_path}/store")
        layers = Layers(store)

        @checked(12)
        @given(steps, st.integers(0, 3))
        def check(sequence: list[list[Change]], kept: int) -> None:
            chain: Chain = ()
            for step in sequence:
                chain = left_by(store, layers, chain, step)
            short = above(layers, chain, min(kept, len(chain)))
            assert mounted(store, layers, short) == mounted(store, layers, chain)
            assert tree_of_view(View(layers, short)) == tree_of_view(View(layers, chain))
            trees = [loose(tree_of(unpack(layers, each, tmp_path / "image"))) for each in (chain, short)]
            assert trees[0] == trees[1]

        check()

    with_own_mounts(check_all)


def left_by(store: Store, layers: Layers, chain: Chain, step: list[Change]) -> Chain:
    view = View(layers, chain)
    with store.scratch("test") as scratch:
        with overlay(store, layers, chain, scratch) as root:
            apply(root.path, step)
        layer = commit(layers, root.upper, view, clamp=None, told=root.told)
    return (*chain, layer.diff_id) if layer else chain


def mounted(store: Store, layers: Layers, chain: Chain) -> Tree:
    with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as root:
        return tree_of(root.path)


def test_nothing_is_left_of_layers_that_undo_each_other(tmp_path: Path) -> None:
    with Store.open(f"{tmp_path}/store") as store:
        layers = Layers(store)
        base = added(layers, [Entry("d", DIRECTORY, 0o755), Entry("d/x", FILE, 0o644)])
        made = added(layers, [Entry("d/y", FILE, 0o644)])
        gone = added(layers, [Entry("d/y", WHITEOUT)])
        assert merged(layers, (base, made, gone), 1) is None


def test_folders_that_nobody_changed_come_along_only_where_they_are_needed(tmp_path: Path) -> None:
    """As the layers below have them, whatever is made up for those that a foreign layer only implies."""
    with Store.open(f"{tmp_path}/store") as store:
        layers = Layers(store)
        folders = [Entry(name, DIRECTORY, 0o700) for name in ("a", "b", "b/c")]
        base = added(layers, [*folders, Entry("b/c/x", FILE, 0o644)])
        one = added(layers, [Entry("b/c/y", FILE, 0o644)], foreign=True)
        other = added(layers, [Entry("b/c/x", WHITEOUT)], foreign=True)
        layer = merged(layers, (base, one, other), 1)
        assert layer is not None
        assert [(entry.path, entry.kind, entry.mode) for entry in layer.entries] == [
            ("b", DIRECTORY, 0o700),
            ("b/c", DIRECTORY, 0o700),
            ("b/c/x", WHITEOUT, 0),
            ("b/c/y", FILE, 0o644),
        ]
        layer = merged(layers, (base, other, other), 1)
        assert layer is not None
        assert [entry.path for entry in layer.entries] == ["b", "b/c", "b/c/x"]
