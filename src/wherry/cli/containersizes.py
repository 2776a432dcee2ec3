"""How much containers have written."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.cli import facts
from wherry.container.containers import Container
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.store.store import Store
from wherry.store.usage import freed_by_removing


def sizes(store: Store, containers: Iterable[Container]) -> dict[str, tuple[int, int]]:
    """Bytes, by the containers' IDs: what each has written, and that with its image.

    The process becomes an ordinary user's root, where it is one's, to look into all folders.
    """
    modes.enter_as_user()
    found = {}
    for container in containers:
        own = freed_by_removing(container.folder.file("root"))
        found[container.id] = own, own + facts.size(store, store.images.get(Digest(container.spec.image)))
    return found
