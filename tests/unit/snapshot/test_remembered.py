"""Answers of a view that are kept: the same as a view's own, and none that is about something else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.remembered import RememberedView
from wherry.snapshot.view import View
from wherry.store.store import Store

QUESTIONS = [
    "",
    "etc",
    "etc/passwd",
    "/etc/passwd/",
    "link",
    "link/passwd",
    "gone",
    "name",
    "deep/er",
    "\udcff",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path)) as store:
        yield store


def add(store: Store, *entries: Entry) -> Digest:
    def write(writer: LayerWriter) -> None:
        for entry in entries:
            if entry.kind == FILE:
                writer.add(entry._replace(size=1), b"x")
            else:
                writer.add(entry)

    return Layers(store).add_tar(write, foreign=True).diff_id


def stack(store: Store) -> list[Digest]:
    low = add(
        store,
        Entry("etc", DIRECTORY, 0o755),
        Entry("etc/passwd", FILE, 0o644, uid=7, xattrs=(("user.a", b"\xff"),)),
        Entry("gone", FILE),
        Entry("link", SYMLINK, 0o777, link="etc"),
        Entry("\udcff", DIRECTORY),
    )
    high = add(
        store,
        Entry("gone", WHITEOUT),
        Entry("file", FILE, 0o600),
        Entry("name", HARDLINK, link="file"),
        Entry("deep/er", DIRECTORY, 0o700),
    )
    return [low, high]


def remembered(store: Store, diff_ids: list[Digest]) -> RememberedView:
    return RememberedView(store, Layers(store), diff_ids)


def kept(store: Store, diff_ids: list[Digest]) -> RememberedView:
    """One that has been asked everything, and has kept it."""
    view = remembered(store, diff_ids)
    for question in QUESTIONS:
        view.lookup(question)
    view.implied()
    view.keep()
    return view


def lose(store: Store, diff_id: Digest) -> None:
    """Delete all that says what is in a layer; what is kept of answers stays."""
    for path in Path(store.layers.folder(diff_id)).iterdir():
        if not path.name.startswith("seen"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_answers_are_those_of_a_view_at_first_and_from_memory(store: Store) -> None:
    diff_ids = stack(store)
    view = View(Layers(store), diff_ids)
    expected = [view.lookup(question) for question in QUESTIONS], view.implied()
    for again in kept(store, diff_ids), remembered(store, diff_ids):
        assert ([again.lookup(question) for question in QUESTIONS], again.implied()) == expected
    assert None in expected[0]
    assert expected[1] == ["deep"]


def test_what_is_kept_needs_no_index(store: Store) -> None:
    diff_ids = stack(store)
    expected = kept(store, diff_ids).get("link/passwd")
    for diff_id in diff_ids:
        lose(store, diff_id)
    assert expected
    assert remembered(store, diff_ids).get("link/passwd") == expected


def test_what_nobody_asked_is_asked_of_the_layers(store: Store) -> None:
    diff_ids = stack(store)
    kept(store, diff_ids)
    found = remembered(store, diff_ids).lookup("file")
    assert found
    assert found.entry.mode == 0o600


def test_layers_of_another_image_have_answers_of_their_own(store: Store) -> None:
    low, high = stack(store)
    kept(store, [low, high])
    assert remembered(store, [high]).lookup("etc") is None
    # Even where a file of the other's is in the place of one's own.
    folder = Path(store.layers.folder(high))
    (own,) = folder.glob("seen*")
    kept(store, [high])
    (other,) = set(folder.glob("seen*")) - {own}
    shutil.copyfile(own, other)
    assert remembered(store, [high]).lookup("etc") is None


@pytest.mark.parametrize("position", ["first", "middle", "last", "all"])
def test_damage_is_noticed(store: Store, position: str) -> None:
    """A power failure may leave zeros."""
    diff_ids = stack(store)
    kept(store, diff_ids)
    (file,) = Path(store.layers.folder(diff_ids[-1])).glob("seen*")
    raw = bytearray(file.read_bytes())
    middle = raw.index(b"user.a")
    places = {
        "first": slice(0, 4),
        "middle": slice(middle, middle + 4),
        "last": slice(-4, None),
        "all": slice(None),
    }
    raw[places[position]] = bytes(len(raw[places[position]]))
    file.write_bytes(raw)
    assert remembered(store, diff_ids).lookup("etc/passwd") == View(Layers(store), diff_ids).lookup(
        "etc/passwd"
    )


def test_an_image_without_layers_has_a_root(store: Store) -> None:
    view = kept(store, [])
    assert view.lookup("etc") is None
    found = view.lookup("")
    assert found
    assert found.entry.kind == DIRECTORY


def test_it_does_not_grow_for_ever(store: Store) -> None:
    diff_ids = stack(store)
    kept(store, diff_ids)
    (file,) = Path(store.layers.folder(diff_ids[-1])).glob("seen*")
    before = file.read_bytes()
    view = remembered(store, diff_ids)
    for number in range(2000):
        view.lookup(f"mount{number}")
    view.keep()
    assert file.read_bytes() == before
