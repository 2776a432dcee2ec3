"""Why no result holds for a step, found out before it is executed: what the tables say then counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wherry.base.tuples import NamedTuple
from wherry.build.account import (
    DIFFERS,
    FILES,
    LOST,
    NEW,
    OTHER_MODE,
    REMOVED,
    UNOBSERVED,
    Difference,
    Miss,
)
from wherry.build.reuse import Reuse
from wherry.build.solve import Chain
from wherry.oci.digest import Digest
from wherry.snapshot.differences import NAMES, ways
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.store.traces import Trace

LISTED = 20
"""Differences that are told one by one."""


class Asked(NamedTuple):
    """What a result was looked for by: `keys` are those of traces, none where only exact results are taken;
    `chains` are those of the parent and of what is mounted, `parent` is the ID of the first."""

    recipe: Digest
    keys: tuple[Digest, ...]
    chains: tuple[Chain, ...]
    parent: Digest


def why(store: Store, reuse: Reuse, asked: Asked) -> Miss:
    """For a RUN or WORKDIR."""
    made = [trace for key in asked.keys for trace in store.traces.of(key)]
    present = [trace for trace in made if reuse.is_there(trace.layer)]
    for trace in present:
        found = differing(reuse, trace, asked.chains)
        if found:
            return found
    if present:
        return Miss(LOST)
    if made:
        return Miss(REMOVED)
    record = store.records.of_recipe(asked.recipe)
    if record is None:
        return Miss(NEW)
    if record.parent == asked.parent and len(asked.chains) == 1:
        return Miss(OTHER_MODE) if reuse.is_there(record.layer) else Miss(REMOVED)
    return Miss(UNOBSERVED, record.result.unobserved)


def why_copied(store: Store, reuse: Reuse, asked: Asked) -> Miss:
    """For a COPY or ADD; the keys are of traces of the same files, where those are known by now."""
    for trace in (trace for key in asked.keys for trace in store.traces.of(key)):
        found = differing(reuse, trace, asked.chains)
        if found:
            return found
    record = store.records.of_recipe(asked.recipe)
    return Miss(FILES, before=record.layer) if record else Miss(NEW)


def holds(reuse: Reuse, keys: Sequence[Digest], chains: Sequence[Chain]) -> bool:
    """Whether there is a result that would hold, if it were wanted."""
    fitting = (reuse.fitting(key, chains, lambda result: reuse.is_there(result.layer)) for key in keys)
    return any(trace for traces in fitting for trace in traces)


def differing(reuse: Reuse, trace: Trace, chains: Sequence[Chain]) -> Miss | None:
    """What differs of all that was looked at; None where nothing does, or that cannot be told."""
    if len(trace.chains) != len(chains):
        return None
    found: list[Difference] = []
    for tree, (old, new) in enumerate(zip(trace.chains, chains, strict=True)):
        broken = reuse.broken(trace, tree, old, new)
        if broken is None:
            return None
        found += _described(broken, reuse.view(old), reuse.view(new), tree)
    if not found:
        return None
    found.sort(key=lambda item: (item.how[0] in _OF_NAMES.values(), item.tree, item.path))
    return Miss(DIFFERS, differences=tuple(found[:LISTED]), more=max(len(found) - LISTED, 0))


_OF_NAMES = {
    "new": "new name in a listed folder",
    "removed": "name gone from a listed folder",
    "kind": "other kind in a listed folder",
}


def _described(broken: Mapping[str, int], old: View, new: View, tree: int) -> list[Difference]:
    """Each path once: with what of it was looked at, or as a name in a folder that was listed."""
    found: dict[str, Difference] = {}
    for path, bits in broken.items():
        if how := ways(old, new, path, bits):
            found[path] = Difference(path, how, tree)
        if bits & NAMES:
            prefix = f"{path}/" if path else ""
            for name in dict.fromkeys((*old.children(path), *new.children(path))):
                child = prefix + name
                if of_names := [_OF_NAMES[way] for way in ways(old, new, child) if way in _OF_NAMES]:
                    found.setdefault(child, Difference(child, tuple(of_names), tree))
    return list(found.values())
