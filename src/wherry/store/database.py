"""The store's tables: one SQLite file in WAL mode, used by any number of threads and processes.

A row is written only after the bytes that it names are in place, so a kill at any instant leaves rows
that are true. WAL with `synchronous=NORMAL` may lose the last commits when the machine loses power, and
never leaves a half-written one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wherry.base.errors import Corrupt, WherryError

_PATIENCE = 3000
"""Hundredths of a second."""

_EMPTY = 4
"""One page in so many is empty: then the tables are worth writing anew."""

_VERSION_1 = """
CREATE TABLE images (id TEXT PRIMARY KEY, created REAL NOT NULL, manifest TEXT);
CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images(id), updated REAL NOT NULL);
CREATE INDEX names_by_image ON names(image);
CREATE TABLE repo_digests (
    repository TEXT NOT NULL, manifest TEXT NOT NULL, image TEXT NOT NULL REFERENCES images(id),
    PRIMARY KEY (repository, manifest)
);
CREATE TABLE layers (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    compressor TEXT NOT NULL, PRIMARY KEY (diff_id, digest)
);
CREATE INDEX layer_blobs_by_digest ON layer_blobs(digest);
CREATE TABLE records (
    key TEXT PRIMARY KEY, recipe TEXT NOT NULL, parent TEXT NOT NULL, layer TEXT,
    created REAL NOT NULL, used REAL NOT NULL, seconds REAL NOT NULL, description TEXT NOT NULL
);
CREATE INDEX records_by_recipe ON records(recipe);
"""
_SINCE_2 = """
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, chains TEXT NOT NULL, layer TEXT, seconds REAL NOT NULL,
    used REAL NOT NULL
);
CREATE INDEX traces_by_key ON traces(key);
CREATE TABLE trace_parts (
    trace INTEGER NOT NULL REFERENCES traces(id), tree INTEGER NOT NULL, top BLOB NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (trace, tree, top)
) WITHOUT ROWID;
"""
_SINCE_3 = """
ALTER TABLE records ADD COLUMN made REAL NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN networked INTEGER NOT NULL DEFAULT 1;
ALTER TABLE traces ADD COLUMN made REAL NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN networked INTEGER NOT NULL DEFAULT 1;
"""
"""Of older results nobody knows whether they used the network, and when: the defaults make no promise."""

_SINCE_4 = """
ALTER TABLE records ADD COLUMN unobserved TEXT NOT NULL DEFAULT '';
"""

_SINCE_5 = """
CREATE TABLE indexes (
    id TEXT PRIMARY KEY, created REAL NOT NULL, source TEXT, whole INTEGER NOT NULL, annotations TEXT NOT NULL
);
CREATE TABLE index_members (
    index_id TEXT NOT NULL REFERENCES indexes(id), position INTEGER NOT NULL,
    image TEXT NOT NULL REFERENCES images(id), platform TEXT NOT NULL, manifest TEXT,
    annotations TEXT NOT NULL, described TEXT NOT NULL, PRIMARY KEY (index_id, position)
) WITHOUT ROWID;
CREATE INDEX index_members_by_image ON index_members(image);
CREATE TABLE index_blobs (
    index_id TEXT NOT NULL REFERENCES indexes(id), digest TEXT NOT NULL, PRIMARY KEY (index_id, digest)
) WITHOUT ROWID;
ALTER TABLE names ADD COLUMN index_id TEXT REFERENCES indexes(id);
ALTER TABLE names ADD COLUMN annotations TEXT NOT NULL DEFAULT '';
CREATE INDEX names_by_index ON names(index_id);
ALTER TABLE repo_digests ADD COLUMN index_id TEXT REFERENCES indexes(id);
"""

_CHANGES = (_VERSION_1, _SINCE_2, _SINCE_3, _SINCE_4, _SINCE_5)
"""What brings the tables of each version to the next one, from 0 on: there are none."""

SCHEMA_VERSION = len(_CHANGES)


Pairs = tuple[tuple[str, str], ...]
"""Annotations."""


def encode_pairs(pairs: Pairs) -> str:
    """As a column holds them."""
    return encode(dict(pairs)) if pairs else ""


def decode_pairs(text: str) -> Pairs:
    return tuple(json.loads(text).items()) if text else ()


def encode(value: object) -> str:
    """JSON in ASCII: what comes from outside may have halves of characters, which no table takes."""
    return json.dumps(value, separators=(",", ":"))


class Database:
    """One connection behind a lock: statements are short, so threads do not wait for long."""

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.Error as error:
            raise _cannot_open(path, error) from None

    def _prepare(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        self._connection.execute("PRAGMA synchronous=NORMAL")
        if 0 <= version < SCHEMA_VERSION:
            self._create()
        elif version != SCHEMA_VERSION:
            raise Corrupt(
                f"another version of wherry wrote this store (tables {version}, not {SCHEMA_VERSION})",
                hint="use that version, or set WHERRY_ROOT to another folder",
            )

    def _create(self) -> None:
        self._use_wal()
        with self.transaction():
            # Two processes may find an empty file at once: the second one sees the first one's work here.
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version < SCHEMA_VERSION:
                for statement in "".join(_CHANGES[version:]).split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _use_wal(self) -> None:
        """SQLite does not wait for the lock that this takes, whatever the connection's timeout is.

        Another process holds it for a moment when both make the tables.
        """
        for _ in range(_PATIENCE):
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                time.sleep(0.01)
        self._connection.execute("PRAGMA journal_mode=WAL")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._guarded(query, values)

    def row(self, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        rows = self.rows(query, values)
        return rows[0] if rows else None

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self._lock:
            self._guarded(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within, or none of them; other writers wait. One within another is part of it."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._guarded("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._guarded("COMMIT")

    def room_of(self, tables: Sequence[str]) -> int:
        """About how many bytes `compact` would free if nothing were in the tables."""
        marks = ", ".join("?" * len(tables))
        with self._lock:
            size, free = (self._guarded(f"PRAGMA {name}")[0][0] for name in ("page_size", "freelist_count"))
            try:
                pages = self._guarded(
                    "SELECT sum(pageno - 1) FROM dbstat WHERE aggregate = 1 AND name IN"
                    f" (SELECT name FROM sqlite_schema WHERE tbl_name IN ({marks}))",
                    tables,
                )[0][0]
            except WherryError:
                pages = 0  # an SQLite that was built without dbstat
        return int((pages + free) * size)

    def compact(self) -> int:
        """Write the tables anew where much of their file is empty; the bytes that this frees, at the latest
        when the last connection is closed. On a full disk there is no room for that."""
        with self._lock:
            pages, free, size = (
                self._guarded(f"PRAGMA {name}")[0][0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            if free * _EMPTY < pages:
                return 0
            try:
                self._guarded("VACUUM")
            except WherryError:
                return 0
        return int(free * size)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _guarded(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise WherryError(f"the store's tables cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise Corrupt(f"the store's tables are damaged: {error}") from None


def _cannot_open(path: str, error: sqlite3.Error) -> WherryError:
    """On a full disk SQLite cannot make the files beside its own, and says no more than "disk I/O error"."""
    folder = os.path.dirname(path)
    try:
        full = os.statvfs(folder).f_bavail == 0
    except OSError:
        full = False
    if full:
        return WherryError(
            f"cannot open the store {folder}: No space left on device",
            hint="`wherry prune -a` frees what it can; else delete something else on that disk first",
        )
    return WherryError(f"cannot open the store's tables {path}: {error}")
