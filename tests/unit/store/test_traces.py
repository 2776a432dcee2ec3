"""Traces in the store: found by key, read in parts, and gone with what they speak of."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.gc import Scope, collect
from wherry.store.records import Result
from wherry.store.store import Store

KEY, LAYER, BASE = (digests.of(text) for text in (b"key", b"layer", b"base"))
RESULT = Result(LAYER, 1.5, 1234.5, True)
PARTS = {"": b"root", "app": b"of app", "\udcff": b"of a name that is not UTF-8"}


def put(store: Store, *chain: Digest, key: Digest = KEY) -> int:
    store.traces.put(key, (chain, (BASE,)), RESULT, [PARTS, {"src": b"of the mount"}])
    return store.traces.of(key)[0].id


def test_a_trace_is_found_by_its_key_with_all_that_was_put(store: Store) -> None:
    put(store, BASE)
    (trace,) = store.traces.of(KEY)
    assert trace[1:] == (((BASE,), (BASE,)), RESULT)
    assert sorted(store.traces.parts(trace.id, 0)) == sorted(PARTS.values())
    assert store.traces.parts(trace.id, 0, ["app", "\udcff", "none"]) == [PARTS["app"], PARTS["\udcff"]]
    assert store.traces.parts(trace.id, 1) == [b"of the mount"]


def test_an_empty_chain_and_no_layer_come_back(store: Store) -> None:
    store.traces.put(KEY, ((),), Result(None, 0, 5), [{}])
    assert store.traces.of(KEY)[0][1:] == (((),), Result(None, 0, 5))


def test_the_last_used_traces_of_a_key_stay_and_come_first(store: Store) -> None:
    numbers = [put(store, BASE) for _ in range(16)]
    other = put(store, BASE, key=LAYER)
    store.traces.move(numbers[0], ((LAYER,), ()))
    last = put(store, BASE)
    kept = [trace.id for trace in store.traces.of(KEY)]
    assert kept[:2] == [last, numbers[0]]
    assert set(kept) == {last, *numbers} - {numbers[1]}
    assert store.traces.parts(numbers[1], 0) == []
    assert store.traces.of(LAYER)[0].id == other


def test_a_trace_goes_with_a_layer_that_it_speaks_of(store: Store) -> None:
    put(store, BASE)
    collect(store, Scope())
    assert store.traces.of(KEY) == []


def test_a_trace_stays_with_its_layers_and_goes_with_all_records(store: Store) -> None:
    for layer in (LAYER, BASE):
        store.records.put(layer, KEY, BASE, Result(layer, 0, 0), "")
        Path(store.layers.folder(layer)).mkdir()
    put(store, BASE)
    collect(store, Scope(records=False))
    assert store.traces.of(KEY)
    collect(store, Scope(everything=True, until=1.0))
    assert store.traces.of(KEY)
    collect(store, Scope(everything=True))
    assert store.traces.of(KEY) == []


_SINCE_5 = """
ALTER TABLE repo_digests DROP COLUMN index_id;
DROP INDEX names_by_index;
ALTER TABLE names DROP COLUMN index_id;
ALTER TABLE names DROP COLUMN annotations;
DROP TABLE index_blobs; DROP TABLE index_members; DROP TABLE indexes;
"""
_SINCE_4 = _SINCE_5 + "ALTER TABLE records DROP COLUMN unobserved;"
_SINCE_3 = _SINCE_4 + "".join(
    f"ALTER TABLE {table} DROP COLUMN {column};"
    for table in ("records", "traces")
    for column in ("made", "networked")
)
_BACK = {
    1: _SINCE_3 + "DROP TABLE trace_parts; DROP TABLE traces; PRAGMA user_version=1",
    2: _SINCE_3 + "PRAGMA user_version=2",
    3: _SINCE_4 + "PRAGMA user_version=3",
}


@pytest.mark.parametrize("version", _BACK)
def test_a_store_of_a_version_before_is_taken_over(tmp_path: Path, version: int) -> None:
    with Store.open(str(tmp_path / "store")) as store:
        store.records.put(KEY, KEY, BASE, Result(LAYER, 1.5, 60), "kept")
        put(store, BASE)
    with sqlite3.connect(tmp_path / "store" / "store.db") as old:
        old.executescript(_BACK[version])
    old.close()
    unknown = Result(LAYER, 1.5, 60) if version == 3 else Result(LAYER, 1.5, made=0, networked=True)
    with Store.open(str(tmp_path / "store")) as store:
        assert [(record.description, record.result) for record in store.records.all()] == [("kept", unknown)]
        kept = [trace.result for trace in store.traces.of(KEY)]
        assert kept == {1: [], 2: [unknown], 3: [RESULT]}[version]
        put(store, BASE)
        assert store.traces.of(KEY)[0].result == RESULT
