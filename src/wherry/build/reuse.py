"""Observed reuse: the result of a step holds for every parent that is the same in what the step looked at.

A trace (`store/traces.py`) is tested by what differs between the root filesystems that its step looked at and
those of now, so the time that it takes depends on the difference and not on what was looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from wherry.base.errors import WherryError
from wherry.base.text import counted
from wherry.base.tuples import NamedTuple
from wherry.build.solve import Chain
from wherry.layer.entry import FILE
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.differences import CONTENT, differences
from wherry.snapshot.names import Contents, NameCache
from wherry.snapshot.observations import broken, is_kept, joined, split, top
from wherry.snapshot.tracks import Tree
from wherry.snapshot.unlike import unlike
from wherry.snapshot.view import View
from wherry.store.records import Result
from wherry.store.store import Store
from wherry.store.traces import Trace

_MOST_READ = 300_000
"""Entries of layers that are read to find a result, which takes one to two seconds: many steps take less."""

_NAMED = 3
"""So many files that were read are told by their names."""


class Found(NamedTuple):
    """A result that holds. `copied` are the files that were copied into the root filesystem since, and `read`
    those of them whose content the step looked at."""

    result: Result
    copied: int
    read: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What was read, where that is little."""
        return self.read if len(self.read) <= _NAMED else ()

    def __str__(self) -> str:
        """For people: `(read 1 of 214 files copied: app/requirements.txt; unchanged)`."""
        if not self.copied:
            return ""
        names = f": {', '.join(self.names)}; unchanged" if self.names else ""
        return f"(read {len(self.read)} of {counted(self.copied, 'file')} copied{names})"


class Traces(Protocol):
    """What is asked of `store.traces.Traces`."""

    def of(self, key: Digest) -> list[Trace]: ...

    def parts(self, trace: int, tree: int, tops: Iterable[str] | None = None) -> list[bytes]: ...


class Reuse:
    """Finds and keeps the traces of a build's steps; for several threads.

    `layers` and `names` are for who executes steps too: an index is read once.
    """

    def __init__(self, store: Store, contents: Contents | None = None, traces: Traces | None = None) -> None:
        """With `contents` and `traces` those of others take the place of the store's."""
        self._store = store
        self.layers = Layers(store)
        self._contents = contents or self.layers
        self.names = NameCache(self._contents)
        self._traces = traces or store.traces
        self._compared: dict[tuple[Chain, Chain], Mapping[str, int]] = {}

    def find(self, key: Digest, chains: Sequence[Chain], takes: Callable[[Result], bool]) -> Found | None:
        """A result of the step `key` that holds for the root filesystems `chains`, and that `takes` takes."""
        for trace in self.fitting(key, chains, lambda result: takes(result) and self.is_there(result.layer)):
            if self._store.traces.move(trace.id, tuple(chains)):
                return self.found(trace, chains)
        return None

    def fitting(
        self, key: Digest, chains: Sequence[Chain], takes: Callable[[Result], bool]
    ) -> Iterator[Trace]:
        """The traces of the step `key` that hold for `chains`, of those whose result is taken.

        Each stands on layers of its own: where they are large, only the last used are tested.
        """
        read = self.names.size
        for trace in self._traces.of(key):
            if self.names.size - read > _MOST_READ:
                return
            if takes(trace.result) and self._holds(trace, chains):
                yield trace

    def found(self, trace: Trace, chains: Sequence[Chain]) -> Found:
        """What there is to say of a trace that holds for `chains`."""
        return Found(trace.result, *self._read(trace, chains[0]))

    def keep(self, key: Digest, trees: Sequence[Tree], result: Result) -> None:
        """Keep what the step `key` looked at in `trees`, and what it gave."""
        if not all(is_kept(tree.found) for tree in trees):
            return
        chains = tuple(tree.view.diff_ids for tree in trees)
        self._store.traces.put(key, chains, result, [split(tree.found) for tree in trees])

    def _holds(self, trace: Trace, chains: Sequence[Chain]) -> bool:
        if len(trace.chains) != len(chains):
            return False
        return all(
            self._same(trace, tree, old, new)
            for tree, (old, new) in enumerate(zip(trace.chains, chains, strict=True))
        )

    def _same(self, trace: Trace, tree: int, old: Chain, new: Chain) -> bool:
        """Whether all that was looked at in one of the trace's root filesystems is the same in `new`."""
        found = self._broken(trace, tree, old, new)
        return found is not None and next(found, None) is None

    def broken(self, trace: Trace, tree: int, old: Chain, new: Chain) -> dict[str, int] | None:
        """The paths that were looked at and differ, and in what; None where that cannot be told."""
        found = self._broken(trace, tree, old, new)
        return None if found is None else dict(found)

    def _broken(self, trace: Trace, tree: int, old: Chain, new: Chain) -> Iterator[tuple[str, int]] | None:
        if old == new:
            return iter(())
        found = self._differences(old, new)
        if found is None:
            return None
        parts = self._traces.parts(trace.id, tree, {top(path) for path in found})
        return broken(found, joined(parts))

    def _read(self, trace: Trace, chain: Chain) -> tuple[int, tuple[str, ...]]:
        """How many files the layers of COPY and ADD have that are new in `chain`, and which were read."""
        _, new = unlike(trace.chains[0], chain)
        layers = [diff_id for diff_id in new if os.path.exists(f"{self._store.layers.folder(diff_id)}/tar")]
        files = {
            path
            for diff_id in layers
            for path, entry in self.names.of(diff_id).entries.items()
            if entry.kind == FILE
        }
        parts = self._traces.parts(trace.id, 0, {top(path) for path in files})
        looked = joined(parts)
        return len(files), tuple(sorted(path for path in files if looked.get(path, 0) & CONTENT))

    def _differences(self, old: Chain, new: Chain) -> Mapping[str, int] | None:
        """None where a layer is not in the store (any more, or yet), so that nothing can be said."""
        if (old, new) not in self._compared:
            try:
                self._compared[old, new] = differences(self.view(old), self.view(new))
            except WherryError:
                return None
        return self._compared[old, new]

    def view(self, chain: Chain) -> View:
        return View(self._contents, chain, self.names)

    def is_there(self, layer: Digest | None) -> bool:
        return self._store.layers.is_there(layer)
