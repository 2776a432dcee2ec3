"""Random changes on overlay and in a copy: the layers made of them must give that very tree again."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.changing import FIRST, Change, append, apply, change, steps
from support.realtrees import Tree, check_links, comparable, loose, tree_of, tree_of_view
from support.unpacking import unpack
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.changes import changes, commit
from wherry.snapshot.copy import Copies
from wherry.snapshot.overlay import Mounted, overlay
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, owners and devices need root")


MARK = Change(append, ("mark",))


class Machine:
    """A store, and a second one that gets the layers as tar streams only."""

    def __init__(self, root: str, copies: bool = False) -> None:
        self.store = Store.open(f"{root}/here")
        self.layers = Layers(self.store)
        os.makedirs(f"{root}/trees")
        self.copies = Copies(self.store, self.layers, f"{root}/trees") if copies else None
        self.other_store = Store.open(f"{root}/there")
        self.other_layers = Layers(self.other_store)

    def run(
        self, chain: tuple[Digest, ...], step: list[Change], clamp: int | None, *, compare: bool = True
    ) -> tuple[Digest, ...]:
        """One step, compared with the tree that it left."""
        view = View(self.layers, chain)
        with self.store.scratch("test") as scratch:
            with self.to_write_to(chain, scratch) as mounted:
                before = tree_of(mounted.path)
                assert not self.copies or not chain or before == tree_of_view(view)
                apply(mounted.path, step)
                left = tree_of(mounted.path)
            planned = changes(mounted.upper, view, clamp=clamp, told=mounted.told)
            layer = commit(self.layers, mounted.upper, view, clamp=clamp, told=mounted.told)
        if layer is None:
            assert planned == ()
            assert comparable(before, clamp) == comparable(left, clamp)
            return chain
        assert [entry._replace(digest=b"", offset=-1) for entry in layer.entries] == list(planned)
        self.send(layer.diff_id)
        chain = (*chain, layer.diff_id)
        if compare:
            check_links(before, left, self.check(chain, left, clamp))
        return chain

    def to_write_to(self, chain: tuple[Digest, ...], scratch: str) -> AbstractContextManager[Mounted]:
        if self.copies:
            return self.copies.mounted(chain, scratch, view=View(self.layers, chain))
        return overlay(self.store, self.layers, chain, scratch)

    def send(self, diff_id: Digest) -> None:
        with self.layers.open_tar(diff_id) as tar:
            received = self.other_layers.add_stream(tar, extract=True)
        assert received.diff_id == diff_id

    def check(self, chain: tuple[Digest, ...], left: Tree, clamp: int | None) -> Tree:
        here = tree_of_view(View(self.layers, chain))
        there = tree_of_view(View(self.other_layers, chain))
        mounted_here = self.mounted(self.store, self.layers, chain)
        mounted_there = self.mounted(self.other_store, self.other_layers, chain)
        assert here == there == mounted_here == mounted_there
        assert comparable(here, clamp) == comparable(left, clamp)
        return here

    def mounted(self, store: Store, layers: Layers, chain: tuple[Digest, ...]) -> Tree:
        with store.scratch("test") as scratch, overlay(store, layers, chain, scratch) as mounted:
            return tree_of(mounted.path)


def checked_with(examples: int) -> settings:
    """WHERRY_TEST_EXAMPLES asks for more than a test's time allows otherwise."""
    wanted = int(os.environ.get("WHERRY_TEST_EXAMPLES", examples))
    return settings(
        max_examples=wanted, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def check_steps(root: str, user: bool, examples: int, copies: bool) -> None:
    machines: list[Machine] = []

    @checked_with(examples)
    @given(steps, st.sampled_from([None, 315532800]))
    def check(sequence: list[list[Change]], clamp: int | None) -> None:
        if not machines:
            machines.append(Machine(root, copies))
        chain: tuple[Digest, ...] = ()
        for step in sequence:
            chain = machines[0].run(chain, step, clamp)

    with_own_mounts(check, user=user)


by_each = pytest.mark.parametrize("copies", [False, True], ids=["overlay", "copy"])


@by_each
@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_layers_give_the_tree_that_steps_left(user: bool, copies: bool) -> None:
    root = f"/dev/shm/wherry-test-{os.getpid()}"
    os.mkdir(root)
    try:
        check_steps(root, user, 60, copies)
    finally:
        shutil.rmtree(root)


@by_each
def test_layers_give_the_tree_that_steps_left_on_a_disk(tmp_path: Path, copies: bool) -> None:
    check_steps(str(tmp_path), user=False, examples=15, copies=copies)


def test_a_hundred_layers(tmp_path: Path) -> None:
    """Each changes a little; checked is what all of them together give."""
    machines: list[Machine] = []

    @settings(checked_with(2), max_examples=2, phases=[Phase.generate], derandomize=True)
    @given(st.lists(st.lists(change, min_size=1, max_size=3), min_size=105, max_size=105))
    def check(sequence: list[list[Change]]) -> None:
        machines.append(Machine(str(tmp_path / str(len(machines)))))
        chain: tuple[Digest, ...] = ()
        for step in [FIRST, *sequence]:
            chain = machines[-1].run(chain, [*step, MARK], None, compare=False)
        assert len(chain) > 100
        machines[-1].run(chain, [MARK], None)

    with_own_mounts(check)


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
@by_each
def test_umoci_unpacks_the_tree_that_steps_left(tmp_path: Path, copies: bool) -> None:
    machines: list[Machine] = []

    @checked_with(12)
    @given(steps)
    def check(sequence: list[list[Change]]) -> None:
        if not machines:
            machines.append(Machine(str(tmp_path), copies))
        machine = machines[0]
        chain: tuple[Digest, ...] = ()
        for step in sequence:
            chain = machine.run(chain, step, None)
        unpacked = tree_of(unpack(machine.layers, chain, tmp_path / "umoci"))
        # umoci gives folders the time of what it unpacked into them last
        assert loose(unpacked) == loose(tree_of_view(View(machine.layers, chain)))

    with_own_mounts(check)
