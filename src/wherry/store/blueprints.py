"""What images were built from, kept as long as they are: `wherry rebase` plans them once more.

    blueprints/<hex of an image's ID>.json

Written aside and renamed into place. The document is the build's own (`build/blueprint.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Set
from typing import Any

from wherry.oci.digest import Digest
from wherry.store.store import Store

FOLDER = "blueprints"


def keep(store: Store, image: Digest, document: dict[str, Any]) -> None:
    """Keep it, in the place of one that is there. OSError where the disk does not take it."""
    unfinished = store.path("tmp", f"blueprint-{os.getpid()}-{os.urandom(4).hex()}")
    with open(unfinished, "w", encoding="ascii") as file:
        json.dump(document, file)
    place = store.blueprint(image)
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    os.rename(unfinished, place)


def find(store: Store, image: Digest) -> Any:
    """The document; None where there is none, or none that can be read."""
    try:
        with open(store.blueprint(image), encoding="ascii") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def sweep(store: Store, kept: Set[Digest]) -> int:
    """Delete those of other images than `kept`; the bytes that became free. Alone in the store."""
    size = 0
    wanted = set(map(store.blueprint, kept))
    try:
        names = os.listdir(store.path(FOLDER))
    except FileNotFoundError:
        return 0
    for place in (store.path(FOLDER, name) for name in names):
        if place not in wanted:
            size += os.lstat(place).st_blocks * 512
            os.unlink(place)
    return size
