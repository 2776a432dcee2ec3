"""Traces: what executed steps looked at, so that their results can be found for another parent.

A trace is found by `key`, the digest of what the step does and takes in, without what it stands on. `chains`
are the diff IDs of each root filesystem that it looked at, its parent's first, then those of its mounts. The
observations of each are kept in parts (`snapshot/observations.py`), read one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store.database import Database
from wherry.store.records import Result

KEPT = 16
"""Traces of one key: one for each state of a project that its builds go back to."""

Chains = tuple[tuple[Digest, ...], ...]


class Trace(NamedTuple):
    id: int
    chains: Chains
    result: Result

    @property
    def layer(self) -> Digest | None:
        return self.result.layer


_COLUMNS = "id, chains, layer, seconds, made, networked"


class Traces:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        key: Digest,
        chains: Chains,
        result: Result,
        observations: Sequence[Mapping[str, bytes]],
    ) -> None:
        """Write a trace, `observations` for each of its chains; the least used of its key go."""
        with self._database.transaction():
            rows = self._database.rows(
                "INSERT INTO traces (key, chains, layer, seconds, made, networked, used)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (key, _text(chains), *result[:4], time.time()),
            )
            for tree, parts in enumerate(observations):
                for top, data in parts.items():
                    self._database.execute(
                        "INSERT INTO trace_parts VALUES (?, ?, CAST(? AS BLOB), ?)",
                        (rows[0][0], tree, _bytes(top), data),
                    )
            surplus = self._database.rows(
                "SELECT id FROM traces WHERE key = ? ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?",
                (key, KEPT),
            )
            self._delete(number for (number,) in surplus)

    def of(self, key: Digest) -> list[Trace]:
        """The traces with this key, the last used first."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM traces WHERE key = ? ORDER BY used DESC, id DESC", (key,)
        )
        return [_trace(row) for row in rows]

    def parts(self, trace: int, tree: int, tops: Iterable[str] | None = None) -> list[bytes]:
        """The observations of one tree that lie in `tops`; all of them without."""
        if tops is None:
            rows = self._database.rows(
                "SELECT data FROM trace_parts WHERE trace = ? AND tree = ?", (trace, tree)
            )
            return [data for (data,) in rows]
        found = []
        for top in tops:
            row = self._database.row(
                "SELECT data FROM trace_parts WHERE trace = ? AND tree = ? AND top = ?",
                (trace, tree, _bytes(top)),
            )
            if row is not None:
                found.append(row[0])
        return found

    def all(self) -> list[tuple[Trace, float]]:
        """Every trace, and when it was used last (unix seconds)."""
        rows = self._database.rows(f"SELECT {_COLUMNS}, used FROM traces")
        return [(_trace(row[:-1]), row[-1]) for row in rows]

    def forget(self, goes: Callable[[Trace, float], bool]) -> None:
        """Delete those of which `goes` says so; it is told when they were used last (unix seconds)."""
        traces = self.all()
        with self._database.transaction():
            self._delete(trace.id for trace, used in traces if goes(trace, used))

    def _delete(self, traces: Iterable[int]) -> None:
        for number in traces:
            self._database.execute("DELETE FROM trace_parts WHERE trace = ?", (number,))
            self._database.execute("DELETE FROM traces WHERE id = ?", (number,))

    def move(self, trace: int, chains: Chains) -> bool:
        """What was looked at is the same in `chains`: they are nearer to what comes next.

        False where the trace is gone: its parts may have been read when they were gone too.
        """
        rows = self._database.rows(
            "UPDATE traces SET chains = ?, used = ? WHERE id = ? RETURNING id",
            (_text(chains), time.time(), trace),
        )
        return bool(rows)


def _trace(row: tuple[Any, ...]) -> Trace:
    number, chains, layer, seconds, made, networked = row
    return Trace(number, _chains(chains), Result(layer, seconds, made, bool(networked)))


def _bytes(top: str) -> bytes:
    """A name that need not be UTF-8."""
    return top.encode("utf-8", "surrogateescape")


def _text(chains: Chains) -> str:
    return "\n".join(" ".join(chain) for chain in chains)


def _chains(text: str) -> Chains:
    return tuple(tuple(map(Digest, line.split())) for line in text.split("\n"))
