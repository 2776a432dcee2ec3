"""Records of executed steps: which layer a step gave on which parent.

`key` is the digest of recipe and parent chain: two equal keys have the same result. A record whose layer
is None changed nothing. Times are unix seconds, `seconds` is how long the execution took.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store.database import Database

_USED_PRECISION = 3600
"""Seconds by which `used` may lag: a build with nothing to do should not have to write."""


class Record(NamedTuple):
    key: Digest
    recipe: Digest
    parent: Digest
    layer: Digest | None
    created: float
    used: float
    seconds: float
    description: str


class Records:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: Digest) -> Record | None:
        row = self._database.row("SELECT * FROM records WHERE key = ?", (key,))
        if row is None:
            return None
        record = Record._make(row)
        if time.time() - record.used > _USED_PRECISION:
            self._database.execute("UPDATE records SET used = ? WHERE key = ?", (time.time(), key))
        return record

    def put(
        self, key: Digest, recipe: Digest, parent: Digest, layer: Digest | None, seconds: float, text: str
    ) -> None:
        """Write a record, in place of an older one of the same key (`--no-cache` makes these)."""
        now = time.time()
        self._database.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, recipe, parent, layer, now, now, seconds, text),
        )

    def all(self) -> list[Record]:
        rows = self._database.rows("SELECT * FROM records ORDER BY created")
        return [Record._make(row) for row in rows]

    def delete(self, keys: Iterable[Digest]) -> None:
        """All at once: on a disk that is nearly full there is no room for a journal of each."""
        with self._database.transaction():
            for key in keys:
                self._database.execute("DELETE FROM records WHERE key = ?", (key,))
