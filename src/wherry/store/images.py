"""Images by ID, by name and by manifest digest."""

from __future__ import annotations

import re
import time

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.store.blobs import Blobs
from wherry.store.database import Database

_HEX = re.compile(r"[0-9a-f]{1,64}")


class Image(NamedTuple):
    """`created`: when it came to be in this store (unix seconds); `manifest`: the one it was pulled with."""

    id: Digest
    config: ImageConfig
    created: float
    manifest: Digest | None


class Images:
    """The ID of an image is the digest of its config; names point at IDs."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def put(self, config_raw: bytes, manifest_raw: bytes | None = None) -> Digest:
        """Enter an image whose layers are in the store already; its ID."""
        configs.parse(config_raw)
        image_id = self._blobs.put(config_raw)
        manifest = self._blobs.put(manifest_raw) if manifest_raw is not None else None
        self._database.execute(
            "INSERT INTO images VALUES (?, ?, ?) ON CONFLICT(id) DO UPDATE"
            " SET manifest = coalesce(excluded.manifest, manifest)",
            (image_id, time.time(), manifest),
        )
        return image_id

    def get(self, image_id: Digest) -> Image:
        row = self._database.row("SELECT created, manifest FROM images WHERE id = ?", (image_id,))
        if row is None:
            raise NotFound(f"no image {image_id}")
        return Image(image_id, configs.parse(self._blobs.read(image_id)), row[0], row[1])

    def has(self, image_id: Digest) -> bool:
        return self._database.row("SELECT 1 FROM images WHERE id = ?", (image_id,)) is not None

    def resolve(self, text: str, shortest: int = 1) -> Image | None:
        """The image that a user means by a name, an ID or the beginning of an ID; names are asked first.

        `shortest` is how many digits such a beginning has to have.
        """
        image_id = self.resolve_id(text, shortest)
        return self.get(image_id) if image_id else None

    def resolve_id(self, text: str, shortest: int = 1) -> Digest | None:
        """As `resolve`, without reading the config."""
        return self._id_of_name(text) or self._id_of_prefix(text, shortest)

    def find(self, text: str) -> Image:
        """As `resolve`, with an error for what there is not."""
        image = self.resolve(text)
        if image is None:
            raise NotFound(f"no such image: {text}", hint="`wherry images` lists the ones that are here")
        return image

    def all(self) -> list[Image]:
        """All images, the newest first."""
        rows = self._database.rows("SELECT id FROM images ORDER BY created DESC, id")
        return [self.get(row[0]) for row in rows]

    def names(self, image_id: Digest) -> list[Reference]:
        rows = self._database.rows("SELECT name FROM names WHERE image = ? ORDER BY name", (image_id,))
        return [references.parse(row[0]) for row in rows]

    def all_names(self) -> list[tuple[Reference, Digest, float]]:
        """Every name with its image and the time (unix seconds) at which it was last moved."""
        rows = self._database.rows("SELECT name, image, updated FROM names ORDER BY name")
        return [(references.parse(name), image, updated) for name, image, updated in rows]

    def id_of(self, reference: Reference) -> Digest | None:
        """The image that `reference` names, without reading its config."""
        if reference.digest:
            row = self._database.row(
                "SELECT image FROM repo_digests WHERE repository = ? AND manifest = ?",
                (reference.name, reference.digest),
            )
        else:
            row = self._database.row(
                "SELECT image FROM names WHERE name = ?", (str(reference.with_default_tag()),)
            )
        return Digest(row[0]) if row else None

    def tag(self, reference: Reference, image_id: Digest) -> None:
        """Point a name at an image; an image that it named before keeps its ID and its other names."""
        name = str(reference.with_default_tag()._replace(digest=None))
        self._database.execute(
            "INSERT INTO names VALUES (?, ?, ?) ON CONFLICT(name) DO UPDATE"
            " SET image = excluded.image, updated = excluded.updated",
            (name, image_id, time.time()),
        )

    def untag(self, reference: Reference) -> bool:
        """Whether there was such a name."""
        with self._database.transaction():
            found = self._database.row("SELECT 1 FROM names WHERE name = ?", (str(reference),))
            self._database.execute("DELETE FROM names WHERE name = ?", (str(reference),))
        return found is not None

    def add_repo_digest(self, repository: str, manifest: Digest, image_id: Digest) -> None:
        """Remember that `repository` (`registry/path`) holds the image under a manifest digest."""
        self._database.execute(
            "INSERT OR REPLACE INTO repo_digests VALUES (?, ?, ?)", (repository, manifest, image_id)
        )

    def repo_digests(self, image_id: Digest) -> list[str]:
        """In the short form that docker shows: `app@sha256:...`."""
        rows = self._database.rows(
            "SELECT repository, manifest FROM repo_digests WHERE image = ? ORDER BY 1, 2", (image_id,)
        )
        return [references.parse(f"{repository}@{digest}").familiar for repository, digest in rows]

    def delete(self, image_id: Digest) -> None:
        """Forget an image with all its names; the bytes stay until they are collected."""
        with self._database.transaction():
            for table in ("names", "repo_digests"):
                self._database.execute(f"DELETE FROM {table} WHERE image = ?", (image_id,))
            self._database.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def _id_of_name(self, text: str) -> Digest | None:
        try:
            return self.id_of(references.parse(text))
        except WherryError:
            return None

    def _id_of_prefix(self, text: str, shortest: int) -> Digest | None:
        prefix = text.removeprefix("sha256:")
        if not _HEX.fullmatch(prefix) or len(prefix) < shortest:
            return None
        rows = self._database.rows(
            "SELECT id FROM images WHERE substr(id, 8, ?) = ? LIMIT 2", (len(prefix), prefix)
        )
        if len(rows) > 1:
            raise WherryError(f"{text!r} is the beginning of several image IDs", hint="write more of it")
        return digests.parse(rows[0][0]) if rows else None
