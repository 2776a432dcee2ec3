"""What a container changed, as a layer: with it, the image must be the tree that the container saw."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings

from support.changing import Change, apply, link, steps, touch, write
from support.realtrees import SECOND, Tree, check_links, comparable, tree_of, tree_of_view
from wherry.layer.entry import HARDLINK, OPAQUE, WHITEOUT
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.altered import altered, layer_of
from wherry.snapshot.changes import commit
from wherry.snapshot.overlay import overlay
from wherry.snapshot.snapshotter import COPY, OVERLAY, open_snapshotter
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.needs("root")


class Machine:
    def __init__(self, root: str) -> None:
        self.store = Store.open(root)
        self.layers = Layers(self.store)

    def image(self, step: list[Change]) -> tuple[Digest, ...]:
        with self.store.scratch("test") as scratch:
            with overlay(self.store, self.layers, (), scratch) as mounted:
                apply(mounted.path, step)
            layer = commit(self.layers, mounted.upper, View(self.layers, ()), clamp=None)
        return (layer.diff_id,) if layer else ()

    def committed(self, chain: tuple[Digest, ...], scratch: str, clamp: int | None = None) -> list[Digest]:
        view = View(self.layers, chain)
        with altered(view, scratch, mountpoints=("/volume/",), clamp=clamp) as changed:
            layer = layer_of(self.layers, changed) if changed else None
        return [*chain, *([layer.diff_id] if layer else [])]

    def tree(self, chain: list[Digest]) -> Tree:
        return tree_of_view(View(self.layers, chain))


def _without_stub(tree: Tree) -> Tree:
    return {path: node for path, node in tree.items() if path not in ("", "volume")}


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
@pytest.mark.parametrize("name", [OVERLAY, COPY])
def test_a_container_becomes_the_image_that_it_saw(name: str, user: bool) -> None:
    root = tempfile.mkdtemp(prefix="wherry-test-", dir="/dev/shm")
    machines: list[Machine] = []

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def check(sequence: list[list[Change]]) -> None:
        if not machines:
            machines.append(Machine(f"{root}/store"))
        machine = machines[0]
        chain = machine.image(sequence[0])
        view = View(machine.layers, chain)
        with (
            machine.store.scratch("test") as scratch,
            open_snapshotter(machine.store, machine.layers, name) as snapshots,
        ):
            assert machine.committed(chain, scratch) == [*chain]
            with snapshots.kept(
                chain, scratch, view=view, mountpoints=("/volume/",), durable=False
            ) as mounted:
                assert machine.committed(chain, scratch) == [*chain]
                before = tree_of(mounted.path)
                for step in sequence[1:]:
                    apply(mounted.path, step)
                left = tree_of(mounted.path)
                while_mounted = machine.committed(chain, scratch)
            after = machine.committed(chain, scratch)
            limited = machine.committed(chain, scratch, clamp=1)
        assert after == while_mounted
        found = machine.tree(after)
        assert comparable(_without_stub(found), None) == comparable(_without_stub(left), None)
        check_links(before, left, found)
        own = machine.layers.index(limited[-1]).entries if limited != [*chain] else ()
        for entry in own:
            lower = view.lookup(entry.path)
            kept = lower.entry.mtime // SECOND * SECOND if lower else SECOND
            assert entry.kind in (WHITEOUT, OPAQUE, HARDLINK) or entry.mtime <= SECOND or entry.mtime == kept

    try:
        with_own_mounts(check, user=user)
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("name", [OVERLAY, COPY])
def test_files_of_one_content_that_become_one_file(name: str) -> None:
    """Nothing but their names tells that they were two."""
    with tempfile.TemporaryDirectory(prefix="wherry-test-", dir="/dev/shm") as root:

        def check() -> None:
            machine = Machine(f"{root}/store")
            files = [Change(write, (path, b"text")) for path in ("one", "other", "third")]
            times = [Change(touch, (path, 0)) for path in ("one", "other", "third")]
            chain = machine.image([*files, *times, Change(link, ("third", "fourth"))])
            with (
                machine.store.scratch("test") as scratch,
                open_snapshotter(machine.store, machine.layers, name) as snapshots,
            ):
                view = View(machine.layers, chain)
                with snapshots.kept(
                    chain, scratch, view=view, mountpoints=("/volume/",), durable=False
                ) as mounted:
                    os.unlink(f"{mounted.path}/other")
                    os.link(f"{mounted.path}/one", f"{mounted.path}/other")
                found = machine.tree(machine.committed(chain, scratch))
            assert found["one"].names == found["other"].names == ("one", "other")
            assert found["third"].names == found["fourth"].names == ("fourth", "third")

        with_own_mounts(check)
