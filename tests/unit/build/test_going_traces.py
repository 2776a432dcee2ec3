"""Traces that go while they are tested: another build may delete what it finds too many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wherry.build.reuse import Reuse
from wherry.layer.entry import FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.snapshot.differences import CONTENT
from wherry.snapshot.tracks import Tree
from wherry.snapshot.view import View
from wherry.store.records import Result
from wherry.store.store import Store

KEY = digests.of(b"key")


def layer(store: Store, **files: bytes) -> Digest:
    layers = Layers(store)

    def write(writer: LayerWriter) -> None:
        for name, data in files.items():
            writer.add(Entry(name, FILE, 0o644, size=len(data)), data)

    return layers.add_tar(write).diff_id


def keep(store: Store, chain: tuple[Digest, ...]) -> None:
    """A trace of a step that has read x."""
    tree = Tree(View(Layers(store), chain))
    tree.note("x", CONTENT)
    Reuse(store).keep(KEY, [tree], Result(None, 0, 0))


@pytest.mark.parametrize(
    ("takes", "other", "expected"),
    [
        (lambda store: True, {"x": b"1", "y": b"2"}, True),
        (lambda store: True, {"x": b"2", "y": b"1"}, False),
        (lambda store: store.traces.forget(lambda *_: True) is None, {"x": b"1", "y": b"2"}, False),
        (lambda store: store.traces.forget(lambda *_: True) is None, {"x": b"2", "y": b"1"}, False),
    ],
    ids=["same", "differs", "gone", "gone and differs"],
)
def test_a_trace_holds_only_as_long_as_it_is_there(
    store: Store, takes: Callable[[Store], bool], other: dict[str, bytes], expected: bool
) -> None:
    """What is gone has no observations, with which every parent would be the same."""
    keep(store, (layer(store, x=b"1", y=b"1"),))
    found = Reuse(store).find(KEY, [(layer(store, **other),)], lambda _: takes(store))
    assert (found is not None) == expected
