"""What `diff` lists, against docker's own way: the tree before and after, compared name by name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings

from support.changing import FIRST, Change, apply, mkdir, renew, steps
from support.realtrees import Tree, comparable, tree_of
from wherry.container.changes import changes
from wherry.layer.entry import DIRECTORY
from wherry.layer.layers import Layers
from wherry.snapshot.altered import altered
from wherry.snapshot.changes import commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.snapshotter import COPY, OVERLAY, open_snapshotter
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.needs("root")


def _compared(before: Tree, after: Tree) -> list[tuple[str, str]]:
    """As moby's `FileInfo.addChanges` (archive/changes.go), with what is in files besides."""
    found: dict[str, str] = {}
    for path, node in after.items():
        if path not in before:
            found[path] = "A"
        elif node != before[path]:
            found[path] = "C"
    for path in before:
        above = path.rpartition("/")[0]
        if path not in after and above in after and after[above].kind == DIRECTORY:
            found[path] = "D"
    for path in list(found):
        found |= {above: "C" for above in _above(path) if above not in found}
    return [(found[path], f"/{path}") for path in sorted(found, key=lambda path: path.split("/")) if path]


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


@pytest.mark.parametrize("name", [OVERLAY, COPY])
def test_what_differs_is_listed(name: str) -> None:
    root = tempfile.mkdtemp(prefix="wherry-test-", dir="/dev/shm")
    stores: list[Store] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    @example([FIRST, [Change(renew, ("b",)), Change(mkdir, ("b/a", 0o700))]])
    def check(sequence: list[list[Change]]) -> None:
        if not stores:
            stores.append(Store.open(f"{root}/store"))
        store, layers = stores[0], Layers(stores[0])
        with store.scratch("test") as scratch:
            with overlay(store, layers, (), scratch) as mounted:
                apply(mounted.path, sequence[0])
            layer = commit(layers, mounted.upper, View(layers, ()), clamp=None)
        assert layer
        view = View(layers, (layer.diff_id,))
        with (
            store.scratch("test") as scratch,
            open_snapshotter(store, layers, name) as snapshots,
            snapshots.kept(view.diff_ids, scratch, view=view, mountpoints=(), durable=False) as mounted,
        ):
            before = comparable(tree_of(mounted.path), None)
            for step in sequence[1:]:
                apply(mounted.path, step)
            after = comparable(tree_of(mounted.path), None)
            with altered(view, scratch) as found:
                assert found
                assert [tuple(change) for change in changes(found)] == _compared(before, after)

    try:
        with_own_mounts(check)
    finally:
        shutil.rmtree(root)
