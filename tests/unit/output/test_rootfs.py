"""Root file systems in tars: what goes in as a layer comes out as it was, whatever it holds."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support.realtrees import tree_of_view
from wherry.layer.entry import Entry
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.output.rootfs import Placed, write_tar
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.testing import trees

random_trees = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def _exported(layers: Layers, diff_id: Digest) -> bytes:
    sink = io.BytesIO()
    write_tar([Placed(View(layers, (diff_id,)))], sink)
    return sink.getvalue()


def _added(layers: Layers, stream: bytes) -> Digest:
    return layers.add_stream(io.BytesIO(stream), extract=False).diff_id


def test_an_export_says_what_its_layer_said(store: Store) -> None:
    layers = Layers(store)

    @settings(random_trees, max_examples=40)
    @given(trees.layers())
    def check(made: tuple[list[Entry], trees.Contents]) -> None:
        _, stream = trees.write(*made)
        first = _added(layers, stream)
        exported = _exported(layers, first)
        second = _added(layers, exported)
        assert tree_of_view(View(layers, (first,))) == tree_of_view(View(layers, (second,)))
        assert _exported(layers, second) == exported, "the export of an export is the same"

    check()


@pytest.mark.needs("root", "tar")
def test_tar_unpacks_from_an_export_what_it_unpacks_from_the_layer(store: Store, tmp_path: Path) -> None:
    layers = Layers(store)
    numbers = iter(range(1000))

    @settings(random_trees, max_examples=20)
    @given(trees.layers())
    def check(made: tuple[list[Entry], trees.Contents]) -> None:
        _, stream = trees.write(*made)
        folder = tmp_path / str(next(numbers))
        exported = _exported(layers, _added(layers, stream))
        assert _unpacked(exported, folder / "after") == _unpacked(stream, folder / "before")

    check()


def _unpacked(data: bytes, folder: Path) -> dict[str, tuple[object, ...]]:
    folder.mkdir(parents=True)
    command = ["tar", "-C", str(folder), "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-"]
    subprocess.run(command, input=data, capture_output=True, check=True)
    return {
        # a folder's time is moved by what is unpacked into it later
        path: facts[:4] + facts[5:] if os.path.isdir(folder / path) else facts
        for path, facts in trees.facts(str(folder)).items()
    }
