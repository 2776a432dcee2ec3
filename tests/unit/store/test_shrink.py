"""The build cache shrinks by least recent use, and never below what something that stays stands on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.cachefolders import SHARED, CacheFolders
from wherry.store.gc import Scope, collect, trim
from wherry.store.records import Result
from wherry.store.room import Room
from wherry.store.store import Store

BLOCK = 1 << 16
"""Bytes: a folder takes a sixteenth of that on some file systems, and nothing on others."""


class Made(NamedTuple):
    """A result: a layer of so many blocks, on a chain of others; `used` is unix seconds."""

    chain: tuple[int, ...]
    layer: int
    used: float


def name(number: int) -> Digest:
    return digests.of(b"layer %d" % number)


def fill(path: Path, blocks: int) -> None:
    with path.open("wb") as file:
        if blocks:
            os.posix_fallocate(file.fileno(), 0, blocks * BLOCK)


def put_layer(store: Store, number: int, blocks: int) -> None:
    folder = Path(store.layers.folder(name(number)))
    (folder / "fs").mkdir(parents=True)
    fill(folder / "fs" / "file", blocks)
    store.layers.add(name(number), blocks * BLOCK)


def put_record(store: Store, made: Made) -> Digest:
    parent = digests.chain_id(tuple(map(name, made.chain)))
    key = digests.of(repr(made).encode())
    store.records.put(key, key, parent, Result(name(made.layer), 1.0, made.used), "RUN x")
    store._database.execute("UPDATE records SET used = ? WHERE key = ?", (made.used, key))
    return key


def put_image(store: Store, layers: tuple[int, ...], created: float = 0.0) -> Digest:
    config = ImageConfig(Platform("linux", "amd64"), diff_ids=tuple(map(name, layers)), author=repr(layers))
    image = store.images.put(config.encode())
    store._database.execute("UPDATE images SET created = ? WHERE id = ?", (created, image))
    return image


def present(store: Store) -> set[Digest]:
    return {digests.from_hex(folder) for folder in os.listdir(store.path("layers"))}


def keep(store: Store, room: Room, until: float | None = None) -> int:
    """What pruning to that room freed."""
    return collect(store, Scope(images=False, room=room, until=until)).size


def test_the_least_recently_used_goes_first(store: Store) -> None:
    for number, used in enumerate((3.0, 1.0, 2.0)):
        put_layer(store, number, 10)
        put_record(store, Made((), number, used))
    assert keep(store, Room(reserved=25 * BLOCK)) // BLOCK == 10
    assert present(store) == {name(0), name(2)}
    assert [record.layer for record in store.records.all()] == [name(0), name(2)]
    assert keep(store, Room(reserved=25 * BLOCK)) == 0


def test_what_a_younger_result_stands_on_is_as_young(store: Store) -> None:
    for number, made in enumerate((Made((), 0, 1.0), Made((0,), 1, 9.0), Made((), 2, 5.0))):
        put_layer(store, number, 10)
        put_record(store, made)
    keep(store, Room(most=25 * BLOCK))
    assert present(store) == {name(0), name(1)}
    keep(store, Room(most=15 * BLOCK))
    assert present(store) == {name(0)}


def test_what_a_trace_speaks_of_is_as_young_as_the_trace(store: Store) -> None:
    for number in range(3):
        put_layer(store, number, 10)
        put_record(store, Made((), number, float(number)))
    store.traces.put(name(9), ((name(0),),), Result(name(1), 1.0, 1.0), [{}])
    keep(store, Room(most=25 * BLOCK))
    assert present(store) == {name(0), name(1)}


def test_images_and_failed_steps_hold_their_layers(store: Store) -> None:
    from wherry.store.builds import Builds

    for number in range(3):
        put_layer(store, number, 10)
        put_record(store, Made((), number, 1.0))
    put_image(store, (0,))
    Builds(store).keep_failed({}, {}, (name(1),))
    keep(store, Room(reserved=0))
    assert present(store) == {name(0), name(1)}
    assert len(Builds(store).all()) == 1


def test_an_age_spares_what_is_younger(store: Store) -> None:
    for number, used in enumerate((1.0, 2.0, 3.0)):
        put_layer(store, number, 10)
        put_record(store, Made((), number, used))
    keep(store, Room(reserved=0), until=2.0)
    assert present(store) == {name(2)}


def test_folders_go_by_their_use_too(store: Store) -> None:
    put_layer(store, 0, 10)
    put_record(store, Made((), 0, 1000.0))
    with CacheFolders(store).use("npm", SHARED, os.mkdir, lambda _: None) as folder:
        fill(Path(folder, "file"), 10)
    fetched, log = Path(store.path("cache", "http")), Path(store.path("logs", "1.log"))
    fill(fetched, 10)
    fill(log, 10)
    os.utime(store.path("cache-mounts", "npm", "0.lock"), (500, 500))
    os.utime(fetched, (2000, 2000))
    os.utime(log, (600, 600))
    keep(store, Room(most=35 * BLOCK))
    assert CacheFolders(store).all() == []
    assert log.exists()
    keep(store, Room(most=25 * BLOCK))
    assert (log.exists(), fetched.exists(), present(store)) == (False, True, {name(0)})
    keep(store, Room(most=15 * BLOCK))
    assert (fetched.exists(), present(store)) == (True, set())


def test_files_with_names_in_other_layers_free_nothing_until_the_last_one(store: Store) -> None:
    for number in range(3):
        put_layer(store, number, 10)
        put_record(store, Made((), number, float(number)))
    for number in (1, 2):
        path = Path(store.layers.folder(name(number)), "fs", "file")
        path.unlink()
        path.hardlink_to(Path(store.layers.folder(name(0)), "fs", "file"))
    put_layer(store, 3, 10)
    put_record(store, Made((), 3, 9.0))
    assert keep(store, Room(most=15 * BLOCK)) // BLOCK == 10
    assert present(store) == {name(3)}


@pytest.mark.parametrize(
    ("room", "used", "free", "excess"),
    [
        (Room(reserved=10), 30, 0, 20),
        (Room(reserved=10), 5, 0, 0),
        (Room(reserved=0), 30, 99, 30),
        (Room(most=25), 30, 0, 5),
        (Room(most=25, reserved=28), 30, 0, 2),
        (Room(free=50), 30, 45, 5),
        (Room(free=50), 30, 50, 0),
        (Room(free=500), 30, 50, 30),
        (Room(free=500, reserved=20), 30, 50, 10),
        (Room(free=50, most=10), 30, 45, 20),
        (Room(free=50, most=29), 30, 45, 5),
    ],
)
def test_how_much_is_too_much(room: Room, used: int, free: int, excess: int) -> None:
    assert room.excess(used, free) == excess


def test_trim_takes_images_without_a_name_and_spares_the_one_just_built(store: Store) -> None:
    images = []
    for number in range(4):
        put_layer(store, number, 10)
        images.append(put_image(store, (number,), created=float(number)))
    store.images.tag(references.parse("app"), images[0])
    gone, used = trim(store, 20 * BLOCK, 5 * BLOCK, {images[1]}, lambda _: {images[2]})
    assert used >= 40 * BLOCK
    assert gone.images == (images[3],)
    assert present(store) == {name(0), name(1), name(2)}


def test_trim_leaves_a_store_alone_that_is_small_enough(store: Store) -> None:
    put_layer(store, 0, 10)
    gone, used = trim(store, 20 * BLOCK, 0, set(), lambda _: ())
    assert (gone.size, present(store)) == (0, {name(0)})
    assert used // BLOCK == 10


def test_trim_does_not_wait(store: Store) -> None:
    with store.lease(), pytest.raises(BlockingIOError):
        trim(store, 0, 0, set(), lambda _: ())


@st.composite
def results(draw: st.DrawFn) -> tuple[list[int], list[Made], list[tuple[int, ...]]]:
    """Sizes of layers, results that stand on each other, and images of some of their chains."""
    count = draw(st.integers(1, 8))
    sizes = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    chains: list[tuple[int, ...]] = [()]
    made = []
    for _ in range(draw(st.integers(1, 12))):
        chain = draw(st.sampled_from(chains))
        layer = draw(st.integers(0, count - 1))
        if layer not in chain:
            made.append(Made(chain, layer, float(draw(st.integers(1, 6)))))
            chains.append((*chain, layer))
    return sizes, made, draw(st.lists(st.sampled_from(chains), max_size=2))


@settings(max_examples=80, deadline=None)
@given(results(), st.integers(0, 30))
def test_whatever_stays_has_all_that_it_stands_on(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[list[int], list[Made], list[tuple[int, ...]]],
    blocks: int,
) -> None:
    sizes, made, images = drawn
    with Store.open(str(tmp_path_factory.mktemp("store"))) as store:
        used = {layer.layer for layer in made}
        for number in used:
            put_layer(store, number, sizes[number])
        for item in made:
            put_record(store, item)
        for chain in images:
            put_image(store, chain)
        before = present(store)
        gone = collect(store, Scope(images=False, room=Room(most=blocks * BLOCK)))
        after = present(store)
        young = {
            number: max(item.used for item in made if number in (*item.chain, item.layer)) for number in used
        }
        held = {number for chain in images for number in chain}
        lost = {number for number in used if name(number) not in after}
        assert set(gone.layers) == before - after
        assert not lost & held
        kept = used - lost - held
        assert kept <= {item.layer for item in made if not lost & {*item.chain, item.layer}}
        assert all(young[one] <= young[other] for one in lost for other in kept)
        assert sum(sizes[number] for number in kept) <= blocks or not kept
        # No more went than had to: without the last one it would have been too much.
        assert not lost or sum(sizes[number] for number in used - held) > blocks - 3
