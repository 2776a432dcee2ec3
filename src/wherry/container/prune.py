"""Deletes the containers that do not run."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base import labels
from wherry.container import removal
from wherry.container.containers import Containers
from wherry.store import events
from wherry.store.usage import freed_by_removing


def prune(root: str, until: float, wanted: Sequence[str]) -> tuple[list[str], int]:
    """Delete those created before `until` (unix seconds) that have all labels `wanted`, `key` or `key=value`.

    Their IDs, and the bytes that came free. Their volumes stay.
    """
    deleted, freed = [], 0
    for container in Containers(root).all():
        if container.spec.created >= until or not labels.have(container.spec.labels, wanted):
            continue
        try:
            with container.folder.locked():
                if container.folder.state().is_running():
                    continue
                freed += freed_by_removing(container.folder.path)
                removal.remove(root, container, with_volumes=False)
        except FileNotFoundError:
            continue  # somebody else has deleted it
        deleted.append(container.id)
    events.record(root, "container", "prune", "", {"reclaimed": str(freed)})
    return deleted, freed
