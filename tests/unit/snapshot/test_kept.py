"""What a container left, exported without a mount: it must be the tree that the container saw."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings

from support.changing import Change, apply, steps
from support.realtrees import Tree, check_links, comparable, tree_of, tree_of_view
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.output.rootfs import Placed, write_tar
from wherry.snapshot.changes import commit
from wherry.snapshot.kept import Vanished, kept_view
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

    def exported(self, chain: tuple[Digest, ...], scratch: str) -> Tree:
        sink = io.BytesIO()
        with kept_view(self.layers, chain, scratch) as view:
            write_tar([Placed(view)], sink)
        sink.seek(0)
        return tree_of_view(View(self.layers, (self.layers.add_stream(sink, extract=False).diff_id,)))


def _without_root(tree: Tree) -> Tree:
    return {path: node for path, node in tree.items() if path}


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
@pytest.mark.parametrize("name", [OVERLAY, COPY])
def test_what_a_container_saw_is_exported(name: str, user: bool) -> None:
    root = tempfile.mkdtemp(prefix="wherry-test-", dir="/dev/shm")
    machines: list[Machine] = []

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
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
            assert _without_root(machine.exported(chain, scratch)) == _without_root(tree_of_view(view))
            with snapshots.kept(chain, scratch, view=view, mountpoints=(), durable=False) as mounted:
                before = tree_of(mounted.path)
                for step in sequence[1:]:
                    apply(mounted.path, step)
                left = tree_of(mounted.path)
                while_mounted = machine.exported(chain, scratch)
            found = machine.exported(chain, scratch)
        assert found == while_mounted
        assert comparable(_without_root(found), None) == comparable(_without_root(left), None)
        check_links(before, left, found)

    try:
        with_own_mounts(check, user=user)
    finally:
        shutil.rmtree(root)


def test_a_file_that_is_changed_while_it_is_read(store: Store, tmp_path: object) -> None:
    """A running container goes on writing: what is exported is a whole archive all the same."""
    upper = f"{tmp_path}/scratch/upper"
    os.makedirs(upper)
    for name in ("gone", "grown", "cut"):
        with open(f"{upper}/{name}", "w") as file:
            file.write("12345678")
    for other in ("gone-too", "gone-also"):
        os.link(f"{upper}/gone", f"{upper}/{other}")
    layers = Layers(store)
    sink = io.BytesIO()
    with kept_view(layers, (), f"{tmp_path}/scratch") as view:
        os.unlink(f"{upper}/gone")
        os.unlink(f"{upper}/gone-also")
        with open(f"{upper}/grown", "a") as file:
            file.write("more")
        os.truncate(f"{upper}/cut", 3)
        found = view.lookup("gone")
        assert found is not None
        with pytest.raises(Vanished):
            view.open(found)
        write_tar([Placed(view)], sink)
    sink.seek(0)
    exported = View(layers, (layers.add_stream(sink, extract=False).diff_id,))
    assert [entry.path for entry, _ in exported.walk()] == ["", "cut", "gone-too", "grown"]
    assert exported.read("grown") == b"12345678"
    assert exported.read("gone-too") == b"12345678"
    assert exported.read("cut") == b"123" + bytes(5)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR])
def test_a_device_in_the_place_of_a_file_is_not_opened(store: Store, tmp_path: object, kind: int) -> None:
    """The container's root can make one at any time; here, outside of its mounts, it would be the device."""
    upper = f"{tmp_path}/scratch/upper"
    os.makedirs(upper)
    with open(f"{upper}/disk", "w") as file:
        file.write("12345678")
    sink = io.BytesIO()
    layers = Layers(store)
    with kept_view(layers, (), f"{tmp_path}/scratch") as view:
        os.unlink(f"{upper}/disk")
        os.mknod(f"{upper}/disk", kind | 0o600, os.makedev(1, 9))
        found = view.lookup("disk")
        assert found is not None
        with pytest.raises(Vanished):
            view.open(found)
        write_tar([Placed(view)], sink)
    sink.seek(0)
    exported = View(layers, (layers.add_stream(sink, extract=False).diff_id,))
    assert [entry.path for entry, _ in exported.walk()] == [""]
