"""Caches that are damaged, or that lie: the image is right, and nothing of a lie is left behind."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import cli
from support.machines import InProcess
from wherry.base.errors import Corrupt
from wherry.build.carry import indexes
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.store import Store

DOCKERFILE = """\
FROM scratch AS first
COPY tool /src/
FROM scratch
WORKDIR /app
COPY . .
WORKDIR /app/data
COPY --from=first /src/tool /bin/
"""
FILES = {".dockerignore": "Dockerfile", "Dockerfile": DOCKERFILE, "a": "a", "d/b": "b", "tool": "echo"}

Change = Callable[[dict[str, Any]], None]


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        cli.write_files(folder / "project", FILES)
        self.cache = folder / "cache"
        self.first = InProcess(folder, "laptop").build(to=self.cache)
        cli.write_files(folder / "project", {"a": "edited"})
        self.edited = InProcess(folder, "other").build()
        self._count = 0

    def machine(self) -> InProcess:
        self._count += 1
        return InProcess(self.folder, f"ci-{self._count}")

    def edit(self, is_edited: bool) -> Digest:
        """The state of the project, and the image that it has to give."""
        cli.write_files(self.folder / "project", {"a": "edited" if is_edited else "a"})
        return self.edited if is_edited else self.first

    def put(self, data: bytes) -> dict[str, Any]:
        digest = digests.of(data)
        (self.cache / "blobs/sha256" / digest[7:]).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def read(self, digest: str) -> bytes:
        return (self.cache / "blobs/sha256" / digest[7:]).read_bytes()

    def lie(self, change: Change) -> None:
        """Change the results of the cache, with all the digests as they should be."""
        index = json.loads((self.cache / "index.json").read_text())
        manifest = json.loads(self.read(index["manifests"][0]["digest"]))
        results = json.loads(self.read(manifest["config"]["digest"]))
        change(results)
        manifest["config"] |= self.put(json.dumps(results).encode())
        index["manifests"][0] |= self.put(json.dumps(manifest).encode())
        (self.cache / "index.json").write_text(json.dumps(index))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_true_cache_is_believed(world: World) -> None:
    for is_edited in (False, True):
        machine = world.machine()
        expected = world.edit(is_edited)
        assert machine.build(by=[world.cache]) == expected
        assert not machine.warnings


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_damaged_cache_does_no_harm(world: World, data: st.DataObject) -> None:
    files = sorted(path for path in world.cache.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), "file")
    raw = path.read_bytes()
    position = data.draw(st.integers(0, len(raw) - 1), "position")
    if data.draw(st.booleans(), "cut off"):
        damaged = raw[:position]
    else:
        flipped = raw[position] ^ (1 << data.draw(st.integers(0, 7), "bit"))
        damaged = raw[:position] + bytes([flipped]) + raw[position + 1 :]
    expected = world.edit(data.draw(st.booleans(), "edited"))
    machine = world.machine()
    path.write_bytes(damaged)
    try:
        assert machine.build(by=[world.cache]) == expected
    finally:
        path.write_bytes(raw)
    assert machine.build() == expected


def _nonsense_looked_at(data: bytes, results: dict[str, Any]) -> None:
    """At the root, and below what the copies write into."""
    tops = [base64.b64encode(top).decode() for top in (b"", b"app", b"bin", b"src")]
    parts = [[top, base64.b64encode(data).decode()] for top in tops]
    for trace in results["traces"]:
        trace["looked"] = [parts for _ in trace["chains"]]


def _each(table: str, change: Change, results: dict[str, Any]) -> None:
    for row in results[table]:
        change(row)


def _set(key: str, value: object, row: dict[str, Any]) -> None:
    row[key] = value


def _other_blob(results: dict[str, Any]) -> None:
    blobs = [layer["blob"] for layer in results["layers"] if "blob" in layer]
    for layer, blob in zip(
        (layer for layer in results["layers"] if "blob" in layer), blobs[::-1], strict=True
    ):
        layer["blob"] = dict(blob)


NONSENSE: dict[str, Change] = {
    "a later version": partial(_set, "version", 2),
    "a version in words": partial(_set, "version", "1"),
    "no layers": partial(_set, "layers", []),
    "no list of records": partial(_set, "records", {}),
    "a key that is a path": partial(_each, "records", partial(_set, "key", "sha256:../../../etc/passwd")),
    "a layer below the first": partial(_each, "records", partial(_set, "layer", -1)),
    "a layer behind the last": partial(_each, "records", partial(_set, "layer", 10**9)),
    "less than no time": partial(_each, "records", partial(_set, "seconds", -1)),
    "the end of all time": partial(_each, "records", partial(_set, "made", 1e300)),
    "a diff ID that is a path": partial(_each, "layers", partial(_set, "diffID", "sha256:../../etc/passwd")),
    "a chain of no layers": partial(_each, "traces", partial(_set, "chains", [[-1]])),
    "observations of no chain": partial(_each, "traces", partial(_set, "looked", [])),
    "observations that are none": partial(_nonsense_looked_at, b"nonsense"),
    "observations of zeros": partial(_nonsense_looked_at, zlib.compress(bytes(1 << 20))),
    "observations of too many paths": partial(
        _nonsense_looked_at, zlib.compress(bytes(3_000_000) + b"\xff" + bytes(2_999_999))
    ),
    "fewer observations than paths": partial(_nonsense_looked_at, zlib.compress(b"\1\xffa\0b")),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_a_cache_of_nonsense_does_no_harm(world: World, change: Change) -> None:
    world.lie(change)
    for is_edited in (False, True):
        expected = world.edit(is_edited)
        machine = world.machine()
        assert machine.build(by=[world.cache]) == expected
        assert machine.build() == expected
        world.edit(not is_edited)
        assert machine.build() == (world.first if is_edited else world.edited)


def test_what_the_store_made_itself_stays(world: World) -> None:
    """Here it knows all steps but the one that an edit made new."""

    def change(results: dict[str, Any]) -> None:
        for row in (*results["records"], *results["traces"]):
            row["layer"] = (row.get("layer", 0) + 1) % len(results["layers"])

    machine = world.machine()
    expected = world.edit(False)
    machine.build()
    with Store.open(str(machine.root)) as store:
        own = {record.key: record.layer for record in store.records.all()}
    world.lie(change)
    world.edit(True)
    machine.build(by=[world.cache])
    with Store.open(str(machine.root)) as store:
        assert own == {record.key: record.layer for record in store.records.all() if record.key in own}
    world.edit(False)
    assert machine.build(by=[world.cache]) == expected


def test_results_that_nobody_asked_for_do_not_come_in(world: World) -> None:
    key = digests.of(b"a step of another project")

    def change(results: dict[str, Any]) -> None:
        results["records"].append({"key": key, "layer": 0})
        results["traces"].append({"key": key, "layer": 0, "chains": [[]], "looked": [[]]})

    world.lie(change)
    machine = world.machine()
    expected = world.edit(False)
    assert machine.build(by=[world.cache]) == expected
    with Store.open(str(machine.root)) as store:
        assert store.records.all()
        assert store.records.get(key) is None
        assert not store.traces.of(key)


def test_a_layer_that_is_another_one_is_not_taken(world: World) -> None:
    world.lie(_other_blob)
    machine = world.machine()
    expected = world.edit(False)
    assert machine.build(by=[world.cache]) == expected
    assert any("digest" in text for text in machine.warnings)


def _packed(world: World, layer: Layer) -> dict[str, Any]:
    packed = indexes.pack(layer)
    assert packed is not None
    return {"mediaType": "application/vnd.wherry.cache.index.v1+gzip", **world.put(packed)}


IMPOSSIBLE = [
    (Entry("/", DIRECTORY),),
    (Entry("a", DIRECTORY), Entry("a//b", FILE)),
    (Entry("a", DIRECTORY), Entry("a/", FILE)),
    (Entry(".", DIRECTORY),),
    (Entry("..", DIRECTORY), Entry("../etc", DIRECTORY)),
    (Entry("a/b", FILE),),
    (Entry("a", FILE), Entry("a/b", FILE)),
    (Entry("a", "?"),),
]
LIES = [(), (Entry("app", DIRECTORY), Entry("app/a", FILE, size=6)), *IMPOSSIBLE]


@pytest.mark.parametrize("entries", IMPOSSIBLE, ids=lambda entries: entries[-1].path)
def test_an_index_that_no_layer_has_is_refused(entries: tuple[Entry, ...]) -> None:
    packed = indexes.pack(Layer(digests.of(b""), 0, entries))
    assert packed is not None
    with pytest.raises(Corrupt, match="an entry that no layer has"):
        indexes.unpack(packed, digests.of(b""))


@pytest.mark.parametrize("entries", LIES, ids=lambda entries: ",".join(entry.path for entry in entries))
def test_an_index_that_lies_is_not_kept(world: World, entries: tuple[Entry, ...]) -> None:
    """It decides over results of the same cache alone, and the layers that come have indexes of their own."""

    def change(results: dict[str, Any]) -> None:
        for layer in results["layers"]:
            layer["index"] = _packed(world, Layer(Digest(layer["diffID"]), 0, entries))

    world.lie(change)
    expected = world.edit(True)
    machine = world.machine()
    assert machine.build(by=[world.cache]) == expected
    with Store.open(str(machine.root)) as store, Store.open(str(world.folder / "other")) as honest:
        for diff_id in store.layers.all():
            assert Layers(store).index(diff_id).entries
            if diff_id in honest.layers.all():
                found, true = Layers(store).index(diff_id), Layers(honest).index(diff_id)
                assert [entry.path for entry in found.entries] == [entry.path for entry in true.entries]


def test_an_index_that_lies_does_not_decide_over_the_stores_own_traces(tmp_path: Path) -> None:
    """The store's own copy to /app, made where that is a folder, and a base where it is a link in truth."""
    dockerfile = "FROM scratch\nCOPY base /\nCOPY x /app/\n"
    project = tmp_path / "project"
    cli.write_files(project, {"Dockerfile": dockerfile, "base/else/": "", "base/app/": "", "x": "x"})
    machine, laptop = InProcess(tmp_path, "ci"), InProcess(tmp_path, "laptop")
    machine.build()
    with Store.open(str(machine.root)) as store:
        known = map(Layers(store).index, store.layers.all())
        (folders,) = (layer for layer in known if any(entry.path == "else" for entry in layer.entries))
    (project / "base/app").rmdir()
    (project / "base/app").symlink_to("else")
    cache = tmp_path / "cache"
    honest = laptop.build(to=cache)
    world = World.__new__(World)
    world.cache = cache

    def change(results: dict[str, Any]) -> None:
        """The link's layer is said to have a folder, and of the second copy nothing is said."""
        layer = results["layers"][0]
        claim = folders._replace(diff_id=Digest(layer["diffID"]))
        layer["index"] = _packed(world, claim)
        results["records"] = [row for row in results["records"] if row.get("layer") == 0]
        results["traces"] = [row for row in results["traces"] if row.get("layer") == 0]

    world.lie(change)
    assert machine.build(by=[cache]) == honest
    assert not machine.warnings
    assert machine.build() == honest


def test_an_index_is_not_unpacked_without_end() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = bomb.compress(bytes(indexes.MOST + 1)) + bomb.flush()
    with pytest.raises(Corrupt, match="more than"):
        indexes.unpack(data, digests.of(b""))


def test_indexes_are_not_kept_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two layers with two entries each, one may be known."""
    dockerfile = "FROM scratch\nCOPY a /one/\nCOPY b /two/\nWORKDIR /three\n"
    project, cache = tmp_path / "project", tmp_path / "cache"
    cli.write_files(project, {"Dockerfile": dockerfile, "a": "1", "b": "1"})
    InProcess(tmp_path, "laptop").build(to=cache)
    cli.write_files(project, {"a": "2", "b": "2"})
    machine = InProcess(tmp_path, "ci")
    monkeypatch.setenv("WHERRY_MAX_LAYER_ENTRIES", "3")
    machine.build(by=[cache])
    assert any("its indexes have more than 3 entries" in text for text in machine.warnings)


def test_an_index_of_another_layer_is_refused() -> None:
    packed = indexes.pack(Layer(digests.of(b"a"), 0, ()))
    assert packed is not None
    with pytest.raises(Corrupt, match="another layer"):
        indexes.unpack(packed, digests.of(b"b"))


@pytest.mark.parametrize("data", [b"", b"nonsense", zlib.compress(b"nonsense"), msgspec.msgpack.encode([1])])
def test_an_index_of_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        indexes.unpack(data, digests.of(b""))
