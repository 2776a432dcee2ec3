"""Which volumes `--filter` means, and which of them nobody needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.base.labels import have
from wherry.container import volumes
from wherry.container.volumes import Kept
from wherry.store import events
from wherry.store.usage import freed_by_removing


def matching(
    kept: Iterable[Kept],
    *,
    names: Sequence[str] = (),
    labels: Sequence[str] = (),
    without: Sequence[str] = (),
) -> list[Kept]:
    """Those that have one of the `names` in theirs, all of the `labels`, and none of those `without`.

    A label is `key` or `key=value`.
    """
    return [
        volume
        for volume in kept
        if (not names or any(part in volume.name for part in names))
        and have(volume.labels, labels)
        and not any(have(volume.labels, [word]) for word in without)
    ]


def prune(
    root: str, *, everything: bool = False, labels: Sequence[str] = (), without: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Delete what no container has of the matching volumes: anonymous ones; with `everything` named ones too.

    Their names, and the bytes that came free. The process must be able to read them (`modes.enter_as_user`).
    """
    deleted, freed = [], 0
    for volume in matching(volumes.all_of(root), labels=labels, without=without):
        if everything or volume.is_anonymous:
            size = freed_by_removing(volumes.folder(root, volume.name))
            if volumes.remove_unused(root, volume.name):
                deleted.append(volume.name)
                freed += size
    events.record(root, "volume", "prune", "", {"reclaimed": str(freed)})
    return deleted, freed
