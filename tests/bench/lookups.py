"""What looking a result up costs, against how much is remembered: `python -m bench.lookups` for this alone.

Exactly, a result is found by its key among all records. As observed, it is found by comparing what differs
between two root filesystems with what the step looked at. Beside them stands what cannot be undercut: a
question to SQLite that reads no table.
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from time import perf_counter

from bench.table import duration
from support import folders
from wherry.build.reuse import Reuse
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.snapshot.differences import CONTENT
from wherry.snapshot.observations import split
from wherry.store.records import Result
from wherry.store.store import Store

_RESULT = Result(None, 1, 0)

_RECORDS = (10, 100, 1_000, 10_000)
_NAMES = (10, 100, 1_000, 10_000, 100_000)
_TRACES = (1, 4, 16)
_FILES = 1_000
"""Of a copied folder."""


def main() -> int:
    quick = "--quick" in sys.argv
    scratch = Path(tempfile.mkdtemp(prefix="wherry-lookups-", dir=folders.fast()))
    try:
        print_tables(scratch, 3 if quick else 20, quick)
    finally:
        shutil.rmtree(scratch)
    return 0


def print_tables(scratch: Path, repeats: int, quick: bool) -> None:
    limit = sqlite3.connect(":memory:")
    least = _taken(lambda: bool(limit.execute("SELECT 1").fetchall()), repeats)
    print(f"{'LOOK-UP OF A RESULT (min, median)':<76}{'found':>20}{'not found':>20}")
    print(f"{'SQLite: no table read':<76}{least:>20}")
    for count in _RECORDS[:-1] if quick else _RECORDS:
        _print_records(scratch / f"records-{count}", count, repeats)
    for place, text in (("usr", "in the base"), ("app", "in the copy")):
        for count in _NAMES[:-1] if quick else _NAMES:
            title = f"observed: one file of {_FILES:,} edited; {count:,} names looked at {text}"
            _print_names(scratch / f"names-{place}-{count}", title, place, count, repeats)
    for count in _TRACES:
        _print_traces(scratch / f"traces-{count}", count, repeats)
    print()


def _print_records(root: Path, count: int, repeats: int) -> None:
    with Store.open(str(root)) as store:
        keys = [digests.of(f"{number}".encode()) for number in range(count)]
        for key in keys:
            store.records.put(key, key, key, _RESULT, "RUN true")
        known, unknown = cycle(keys), cycle([digests.of(b"unknown"), digests.of(b"another")])
        found = _taken(lambda: bool(store.records.get(next(known))), repeats)
        missed = _taken(lambda: not store.records.get(next(unknown)), repeats)
    print(f"{f'exactly: among {count:,} records':<76}{found:>20}{missed:>20}", flush=True)


def _print_names(root: Path, title: str, place: str, count: int, repeats: int) -> None:
    """The edited file is one that nobody looked at; or, where nothing is to be found, one that was read."""
    with Store.open(str(root)) as store:
        base = _layer(store, {"usr": ""})
        states = [(base, _copy(store, {"edited": text})) for text in ("1", "2")]
        names = dict.fromkeys((f"{place}/name{number}" for number in range(count)), CONTENT)
        store.traces.put(_key("holds"), (states[0],), _RESULT, [split(names)])
        store.traces.put(_key("broken"), (states[0],), _RESULT, [split(names | {"app/edited": CONTENT})])
        # A result that is found is found for the newer state from then on: so the other one is asked for.
        turns = cycle(reversed(states))
        found = _taken(lambda: _find(store, "holds", next(turns)), repeats)
        missed = _taken(lambda: not _find(store, "broken", states[1]), repeats)
    print(f"{title:<76}{found:>20}{missed:>20}", flush=True)


def _print_traces(root: Path, count: int, repeats: int) -> None:
    """Each is of a project's state; the one that is gone back to is the one that was used longest ago."""
    with Store.open(str(root)) as store:
        base = _layer(store, {"usr": ""})
        names = {"app/read": CONTENT} | dict.fromkeys((f"usr/name{n}" for n in range(1_000)), CONTENT)
        states = []
        for number in range(count):
            pair = [(base, _copy(store, {"read": f"{number}", "edited": text})) for text in ("1", "2")]
            store.traces.put(_key("step"), (pair[0],), _RESULT, [split(names)])
            states.append(pair)
        turns = cycle([*(pair[1] for pair in states), *(pair[0] for pair in states)])
        other = (base, _copy(store, {"read": "other"}))
        found = _taken(lambda: _find(store, "step", next(turns)), repeats)
        missed = _taken(lambda: not _find(store, "step", other), repeats)
    print(f"{f'observed: earlier results of one step: {count}':<76}{found:>20}{missed:>20}", flush=True)


def _find(store: Store, key: str, chain: tuple[Digest, ...]) -> bool:
    """As a build does it: it has read no index before."""
    return Reuse(store).find(_key(key), [chain], lambda _result: True) is not None


def _key(text: str) -> Digest:
    return digests.of(text.encode())


def _copy(store: Store, files: dict[str, str]) -> Digest:
    same = {f"file{number}": f"{number}" for number in range(_FILES - len(files))}
    return _layer(store, {"app": "", **{f"app/{name}": text for name, text in (same | files).items()}})


def _layer(store: Store, files: dict[str, str]) -> Digest:
    """A layer of files with these contents; an empty one is a folder."""

    def write(writer: LayerWriter) -> None:
        for path, text in files.items():
            content = text.encode()
            if content:
                writer.add(Entry(path, FILE, 0o644, size=len(content)), content)
            else:
                writer.add(Entry(path, DIRECTORY, 0o755))

    return Layers(store).add_tar(write).diff_id


def _taken(ask: Callable[[], bool], repeats: int) -> str:
    """The shortest and the middle time; the answer must be the one that is measured."""
    taken = []
    for _ in range(repeats):
        begun = perf_counter()
        answer = ask()
        taken.append(perf_counter() - begun)
        assert answer
    return f"{duration(min(taken))} {duration(statistics.median(taken)):>9}"


if __name__ == "__main__":
    sys.exit(main())
