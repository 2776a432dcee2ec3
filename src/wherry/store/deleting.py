"""Deletes what the collector has chosen, each thing whole or not at all, and says what that freed.

A folder leaves its place by one rename, into `tmp/`, before anything in it is deleted. A kill in between
leaves it to the next sweep; half a folder in its place would be taken for a whole one.
"""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store.store import Store, remove_tree
from wherry.store.usage import freed_by_removing


class Reclaimed(NamedTuple):
    """What was deleted: `failures` are failed builds that were kept; `size` is the bytes on disk that became
    free."""

    images: tuple[Digest, ...] = ()
    records: int = 0
    failures: int = 0
    layers: tuple[Digest, ...] = ()
    size: int = 0

    def plus(self, other: Reclaimed) -> Reclaimed:
        return Reclaimed(
            self.images + other.images,
            self.records + other.records,
            self.failures + other.failures,
            self.layers + other.layers,
            self.size + other.size,
        )


def discard(store: Store, path: str) -> int:
    """Delete a file or folder of the store; the bytes on disk that became free."""
    size = freed_by_removing(path)
    try:
        if not os.path.isdir(path):
            os.unlink(path)
            return size
        doomed = store.path("tmp", f"doomed-{os.getpid()}-{os.urandom(6).hex()}")
        os.rename(path, doomed)
    except FileNotFoundError:
        return 0
    # What cannot be deleted now is swept with the rest of tmp/ by who can.
    remove_tree(doomed)
    return size


def delete_layer(store: Store, diff_id: Digest) -> int:
    """Delete all that the store has of a layer; the bytes that became free. Its records are gone already."""
    blobs = store.layers.blobs_of(diff_id)
    store.layers.forget(diff_id)
    size = discard(store, store.layers.folder(diff_id))
    return size + sum(store.blobs.delete(blob.digest) for blob in blobs)
