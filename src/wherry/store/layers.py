"""What the tables know of layers: their sizes, and the compressed blobs that carry them.

The content of a layer (index, tar stream, tree) is `layer/layers.py`'s; here is only where it lies.
"""

from __future__ import annotations

import os

from wherry.oci import digest as digests
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.store.database import Database


class LayerTable:
    def __init__(self, root: str, database: Database) -> None:
        self._root = root
        self._database = database

    def folder(self, diff_id: Digest) -> str:
        """Where the layer's index, tar and tree are; it may not exist yet."""
        return f"{self._root}/layers/{digests.hex_of(diff_id)}"

    def is_there(self, layer: Digest | None) -> bool:
        """Whether the store has what a step gave; one that changed nothing, None, gave no layer."""
        return layer is None or os.path.isdir(self.folder(layer))

    def add(self, diff_id: Digest, size: int) -> None:
        """Enter a layer whose content is in its folder; `size` is its tar stream's, in bytes."""
        self._database.execute("INSERT OR IGNORE INTO layers VALUES (?, ?)", (diff_id, size))

    def size(self, diff_id: Digest) -> int | None:
        """Bytes of the uncompressed tar stream; None until the layer has been unpacked once."""
        row = self._database.row("SELECT size FROM layers WHERE diff_id = ?", (diff_id,))
        return row[0] if row else None

    def add_blob(self, diff_id: Digest, blob: Descriptor, compressor: str = "") -> None:
        """Enter a blob that carries the layer; `compressor`: the program and version that made it here."""
        self._database.execute(
            "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?)",
            (diff_id, blob.digest, blob.media_type, blob.size, compressor),
        )

    def blobs_of(self, diff_id: Digest) -> list[Descriptor]:
        rows = self._database.rows(
            "SELECT media_type, digest, size FROM layer_blobs WHERE diff_id = ? ORDER BY rowid", (diff_id,)
        )
        return [Descriptor(media_type, digest, size) for media_type, digest, size in rows]

    def makers(self, diff_id: Digest) -> dict[Digest, str]:
        """By blob of the layer, the compressor that made it here; "" for one that came as it is."""
        rows = self._database.rows("SELECT digest, compressor FROM layer_blobs WHERE diff_id = ?", (diff_id,))
        return {Digest(digest): compressor for digest, compressor in rows}

    def forget(self, diff_id: Digest) -> None:
        """Drop the layer's rows; its folder and blobs are the collector's to delete."""
        with self._database.transaction():
            for table in ("layers", "layer_blobs"):
                self._database.execute(f"DELETE FROM {table} WHERE diff_id = ?", (diff_id,))

    def all(self) -> list[Digest]:
        """Every layer that has a folder or a blob."""
        rows = self._database.rows("SELECT diff_id FROM layers UNION SELECT diff_id FROM layer_blobs")
        return [Digest(row[0]) for row in rows]
