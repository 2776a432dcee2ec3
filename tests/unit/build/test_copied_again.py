"""A COPY of a context in which little has changed: its layer is the one that is made from nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wherry.build.build import build
from wherry.build.context import Context
from wherry.build.filedigests import TICK
from wherry.build.options import Options
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer
from wherry.oci.digest import Digest
from wherry.store.store import Store

LONG = "n" * 120
NAMES = ["a", "b", f"d/{LONG}", "d/e.py", "d/f/g", "d/f.x", "é \udcff", "z"]
SIZES = [0, 1, 511, 512, 513, 5000, 70_000, 1_200_000]


def settle() -> None:
    time.sleep(2 * TICK / 1e9)


def write(root: Path, name: str, size: int, seed: int) -> None:
    path = root / name
    if path.is_dir():
        shutil.rmtree(path)
    if path.parent.is_file():
        path.parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([seed % 256]) * size)


def layer(store: Store, context: Path, *, no_cache: bool = False) -> Layer:
    """The one layer of what is built from the context, its stream verified."""
    built = build(store, Options(context=str(context), no_cache=no_cache))
    layers = Layers(store)
    diff_id = store.images.find(built.image).config.diff_ids[-1]
    with layers.open_tar(diff_id) as tar:
        while tar.read(1 << 20):
            pass
    return layers.index(diff_id)


def tar_of(store: Store, diff_id: Digest) -> str:
    return f"{store.layers.folder(diff_id)}/tar"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    make(folder)
    return folder


def make(folder: Path) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /to/\n")
    (folder / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    for number, (name, size) in enumerate(zip(NAMES, SIZES, strict=True)):
        write(folder, name, size, number)
    (folder / "link").symlink_to("a")
    settle()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files of contexts that are opened to be read."""
    names: list[str] = []
    real = Context._open

    def noted(self: Context, path: str) -> int:
        names.append(path)
        return real(self, path)

    monkeypatch.setattr(Context, "_open", noted)
    yield names


edits = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([*NAMES, "new", "d/f", "0"]), st.sampled_from(SIZES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("mode"), st.sampled_from(NAMES), st.sampled_from([0o600, 0o755])),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from([0, 1, 2])),
)


def edit(root: Path, kind: str, name: str, number: int, seed: int) -> None:
    path = root / name
    if kind == "write":
        write(root, name, number, seed)
    elif not path.is_file():
        return
    elif kind == "remove":
        path.unlink()
    elif kind == "mode":
        path.chmod(number)
    else:
        path.rename(root / f"renamed{number}")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(edits, max_size=3), min_size=1, max_size=3))
@example([[("write", "d/f", 1), ("write", "d/f/g", 2)]])
def test_the_layer_is_the_one_that_is_made_from_nothing(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("again")
    make(folder / "context")
    with Store.open(str(folder / "kept")) as kept, Store.open(str(folder / "fresh")) as fresh:
        layer(kept, folder / "context")
        for number, round_ in enumerate(rounds):
            for place, (kind, name, size) in enumerate(round_):
                edit(folder / "context", kind, name, size, 100 + 10 * number + place)
            again = layer(kept, folder / "context")
            assert again == layer(fresh, folder / "context", no_cache=True)
    shutil.rmtree(folder)


def test_only_what_changed_is_read(tmp_path: Path, root: Path, opened: list[str]) -> None:
    with Store.open(str(tmp_path / "store")) as store:
        layer(store, root)
        assert set(opened) == set(NAMES)
        opened.clear()
        write(root, "d/f/g", 70_000, 7)
        layer(store, root)
        assert set(opened) == {"d/f/g"}
        opened.clear()
        layer(store, root, no_cache=True)
        assert set(opened) == set(NAMES)


def test_the_time_of_the_layer_counts(
    tmp_path: Path, root: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a layer with other times can be taken."""
    with Store.open(str(tmp_path / "store")) as store, Store.open(str(tmp_path / "fresh")) as fresh:
        layer(store, root)
        opened.clear()
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        found = layer(store, root)
        assert set(opened) == set(NAMES)
        assert found == layer(fresh, root)


@pytest.mark.parametrize("damage", ["content", "header", "end", "cut", "longer", "gone", "index"])
def test_a_damaged_layer_is_not_taken_from(tmp_path: Path, root: Path, damage: str) -> None:
    with Store.open(str(tmp_path / "store")) as store, Store.open(str(tmp_path / "fresh")) as fresh:
        first = layer(store, root)
        entry = next(entry for entry in first.entries if entry.path == "to/d/f/g")
        tar = tar_of(store, first.diff_id)
        with open(tar, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if damage == "cut":
                file.truncate(size // 2)
            else:
                file.seek({"content": entry.offset + 9, "header": entry.offset - 400}.get(damage, size - 1))
                file.write(b"X")
        if damage == "gone":
            os.unlink(tar)
        elif damage == "index":
            os.truncate(f"{store.layers.folder(first.diff_id)}/index", 20)
        elif damage == "longer":
            os.truncate(tar, size + 512)
        write(root, "a", 3, 9)
        assert layer(store, root) == layer(fresh, root, no_cache=True)
