"""Records of executed steps: which layer a step gave on which parent.

`key` is the digest of recipe and parent chain: two equal keys have the same result. Times are unix seconds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store.database import Database

_USED_PRECISION = 3600
"""Seconds by which `used` may lag: a build with nothing to do should not have to write."""

_COLUMNS = "key, recipe, parent, created, used, description, layer, seconds, made, networked, unobserved"
_SELECT = f"SELECT {_COLUMNS} FROM records"


class Result(NamedTuple):
    """What an execution gave: a layer, None where it changed nothing.

    `seconds` is how long it took, `made` when it began: they stay, wherever the result holds later.
    `networked`: it may have used the network, so its result may be another one today. `unobserved` says, for
    people, why it is not known what it looked at.
    """

    layer: Digest | None
    seconds: float
    made: float
    networked: bool = False
    unobserved: str = ""


class Record(NamedTuple):
    """`created` is when this was written, which may be later than the result was made."""

    key: Digest
    recipe: Digest
    parent: Digest
    created: float
    used: float
    description: str
    result: Result

    @property
    def layer(self) -> Digest | None:
        return self.result.layer


class Records:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._stale: list[Digest] = []
        """Records that were used, and for the first time in an hour or more."""

    def get(self, key: Digest) -> Record | None:
        row = self._database.row(f"{_SELECT} WHERE key = ?", (key,))
        if row is None:
            return None
        record = _record(row)
        if time.time() - record.used > _USED_PRECISION:
            self._stale.append(key)
        return record

    def of_recipe(self, recipe: Digest) -> Record | None:
        """The youngest one of a step that does the same, whatever it stands on."""
        row = self._database.row(f"{_SELECT} WHERE recipe = ? ORDER BY created DESC LIMIT 1", (recipe,))
        return _record(row) if row else None

    def settle(self) -> None:
        """Write down which records were used, of all of a build at once: a commit costs more than a look-up.

        Where that cannot be, as on a full disk, they count as used when they did before.
        """
        stale, self._stale = self._stale, []
        if not stale:
            return
        now = time.time()
        with contextlib.suppress(WherryError), self._database.transaction():
            for key in stale:
                self._database.execute("UPDATE records SET used = ? WHERE key = ?", (now, key))

    def put(self, key: Digest, recipe: Digest, parent: Digest, result: Result, text: str) -> None:
        """Write a record, in place of an older one of the same key (`--no-cache` makes these)."""
        now = time.time()
        self._database.execute(
            f"INSERT OR REPLACE INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key, recipe, parent, now, now, text, *result),
        )

    def of(self, recipe: Digest, parent: Digest) -> list[Record]:
        """All of a step on a parent: one for each content that it may have taken in."""
        rows = self._database.rows(f"{_SELECT} WHERE recipe = ? AND parent = ?", (recipe, parent))
        return [_record(row) for row in rows]

    def seconds(self, recipe: Digest) -> float | None:
        """How long the step of that recipe took when it was executed last; None if it never was."""
        row = self._database.row(
            "SELECT seconds FROM records WHERE recipe = ? ORDER BY made DESC LIMIT 1", (recipe,)
        )
        return row[0] if row else None

    def all(self) -> list[Record]:
        return [_record(row) for row in self._database.rows(f"{_SELECT} ORDER BY created")]

    def delete(self, keys: Iterable[Digest]) -> None:
        """All at once: on a disk that is nearly full there is no room for a journal of each."""
        with self._database.transaction():
            for key in keys:
                self._database.execute("DELETE FROM records WHERE key = ?", (key,))


def _record(row: tuple[Any, ...]) -> Record:
    *fields, layer, seconds, made, networked, unobserved = row
    return Record._make((*fields, Result(layer, seconds, made, bool(networked), unobserved)))
