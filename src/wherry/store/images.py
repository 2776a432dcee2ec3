"""Images by ID, by name and by manifest digest.

A name means an image, and may mean an index too (indexes.py), of which that image is the member that is taken
where no platform is asked for.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.store.blobs import Blobs
from wherry.store.database import Database, Pairs, decode_pairs, encode, encode_pairs

if TYPE_CHECKING:  # most commands need neither indexes nor what chooses from them
    from wherry.store.indexes import ImageIndex, Indexes, Member

_HEX = re.compile(r"[0-9a-f]{1,64}")
_MEANING = "image, updated, index_id, annotations"


class Image(NamedTuple):
    """`created`: when it came to be in this store (unix seconds); `manifest`: the one it was pulled with."""

    id: Digest
    config: ImageConfig
    created: float
    manifest: Digest | None


class Name(NamedTuple):
    """What a name means since `updated` (unix seconds). `annotations`: of the manifest that a push makes."""

    reference: Reference
    image: Digest
    updated: float
    index_id: Digest | None = None
    annotations: Pairs = ()


class Images:
    """The ID of an image is the digest of its config; names point at IDs."""

    def __init__(self, database: Database, blobs: Blobs, root: str) -> None:
        self._database = database
        self._blobs = blobs
        self._root = root

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

    def of(self, member: Member) -> Image:
        """The image of a member of an index, with the manifest that it has there."""
        image = self.get(member.image)
        return image._replace(manifest=member.manifest or image.manifest)

    def has(self, image_id: Digest) -> bool:
        return self._database.row("SELECT 1 FROM images WHERE id = ?", (image_id,)) is not None

    def resolve(self, text: str, shortest: int = 1, platform: Platform | None = None) -> Image | None:
        """The image that a user means by a name, an ID or the beginning of an ID; names are asked first.

        `shortest` is how many digits such a beginning has to have. With `platform`: the image for that, None
        where there is none.
        """
        image_id = self.resolve_id(text, shortest)
        if image_id is None or platform is None:
            return self.get(image_id) if image_id else None
        name = self.named(text)
        if name and name.index_id and (exact := self._exactly_for(platform, name.index_id)):
            return self.get(exact)
        if index := self._index(text):
            member = index.member(platform)
            return self.get(member.image) if member else None
        image = self.get(image_id)
        return image if _runs(image, platform) else None

    def _exactly_for(self, platform: Platform, index_id: Digest) -> Digest | None:
        """The usual case, told without the modules that know indexes: a build with nothing to do asks this.
        Of Windows there may be a newer one that is for the platform too."""
        row = self._database.row(
            "SELECT image FROM index_members WHERE index_id = ? AND platform = ? ORDER BY position",
            (index_id, encode(platform.to_json())),
        )
        return row[0] if row and platform.os != "windows" else None

    def resolve_id(self, text: str, shortest: int = 1) -> Digest | None:
        """As `resolve`, without reading the config."""
        name = self.named(text)
        return name.image if name else self._id_of_prefix(text, shortest)

    def find(self, text: str, platform: Platform | None = None) -> Image:
        """As `resolve`, with an error for what there is not."""
        image = self.resolve(text, platform=platform)
        if image is not None:
            return image
        other = self.resolve(text) if platform else None
        if other is None:
            raise NotFound(f"no such image: {text}", hint="`wherry images` lists the ones that are here")
        index = self._index(text)
        has = index.platforms if index else [str(other.config.platform)]
        raise NotFound(f"{text} has no image for {platform}", hint=f"it is here for: {', '.join(has)}")

    def index_of(self, text: str) -> ImageIndex | None:
        """The index that a name means; None where it means one image alone, and for an ID."""
        index = self._index(text)
        return None if index is None or index.is_one_of_others else index

    def _index(self, text: str) -> ImageIndex | None:
        """As `index_of`, also one of which a single image is here: it says what that is for."""
        name = self.named(text)
        return self._indexes.get(name.index_id) if name and name.index_id else None

    def named(self, text: str) -> Name | None:
        """What a user means by a name; None for what is no name of an image here."""
        try:
            return self.name(references.parse(text))
        except WherryError:
            return None

    def all(self) -> list[Image]:
        """All images, the newest first."""
        rows = self._database.rows("SELECT id FROM images ORDER BY created DESC, id")
        return [self.get(row[0]) for row in rows]

    def names(self, image_id: Digest) -> list[Reference]:
        """Those that mean the image where no platform is asked for."""
        rows = self._database.rows("SELECT name FROM names WHERE image = ? ORDER BY name", (image_id,))
        return [references.parse(row[0]) for row in rows]

    def holders(self, image_id: Digest) -> list[Reference]:
        """The names that reach the image, by their indexes too: it stays as long as there is one."""
        rows = self._database.rows(
            "SELECT name FROM names WHERE image = ? OR index_id IN"
            " (SELECT index_id FROM index_members WHERE image = ?) ORDER BY name",
            (image_id, image_id),
        )
        return [references.parse(row[0]) for row in rows]

    def held(self) -> set[Digest]:
        """All images that names reach."""
        rows = self._database.rows(
            "SELECT image FROM names UNION SELECT image FROM index_members WHERE index_id IN"
            " (SELECT index_id FROM names)"
        )
        return {row[0] for row in rows}

    def behind(self) -> set[Digest]:
        """Images that are meant by an index of a name or a digest alone, where a platform is asked for."""
        rows = self._database.rows(
            "SELECT image FROM index_members WHERE index_id IN"
            " (SELECT index_id FROM names UNION SELECT index_id FROM repo_digests)"
            " EXCEPT SELECT image FROM names EXCEPT SELECT image FROM repo_digests"
        )
        return {row[0] for row in rows}

    def families(self) -> list[set[Digest]]:
        """The images of each index that has a name."""
        rows = self._database.rows(
            "SELECT index_id, image FROM index_members WHERE index_id IN (SELECT index_id FROM names)"
        )
        families: dict[str, set[Digest]] = {}
        for index_id, image in rows:
            families.setdefault(index_id, set()).add(image)
        return list(families.values())

    def all_names(self) -> list[Name]:
        rows = self._database.rows(f"SELECT name, {_MEANING} FROM names ORDER BY name")
        return [_name(references.parse(row[0]), row[1:]) for row in rows]

    def name(self, reference: Reference) -> Name | None:
        """What a name means, or one with a digest."""
        reference = reference.with_default_tag()
        if reference.digest is None:
            row = self._database.row(f"SELECT {_MEANING} FROM names WHERE name = ?", (str(reference),))
        else:
            # The digest of the image's manifest, of its index, or of the manifest of another image in that.
            row = self._database.row(
                "SELECT image, 0, index_id, '' FROM repo_digests WHERE repository = ? AND manifest = ?"
                " UNION ALL SELECT m.image, 0, NULL, '' FROM index_members m JOIN repo_digests d"
                " ON d.index_id = m.index_id WHERE d.repository = ? AND m.manifest = ? LIMIT 1",
                (reference.name, reference.digest) * 2,
            )
        return _name(reference, row) if row else None

    def id_of(self, reference: Reference) -> Digest | None:
        """The image that `reference` names, without reading its config."""
        name = self.name(reference)
        return name.image if name else None

    def tag(
        self, reference: Reference, image_id: Digest, index: Digest | None = None, annotations: Pairs = ()
    ) -> None:
        """Point a name at an image, and at an index of which it is a member; an image that it named before
        keeps its ID and its other names."""
        name = str(reference.with_default_tag()._replace(digest=None))
        self._database.execute(
            f"INSERT OR REPLACE INTO names(name, {_MEANING}) VALUES (?, ?, ?, ?, ?)",
            (name, image_id, time.time(), index, encode_pairs(annotations)),
        )
        self._tell("tag", image_id, references.parse(name).familiar)

    def means(
        self, reference: Reference, image_id: Digest, index: Digest | None = None, annotations: Pairs = ()
    ) -> bool:
        """Whether `tag` with the same arguments would change nothing but the time."""
        name = self.name(reference._replace(digest=None))
        return name is not None and name[1::2] + name[4:] == (image_id, index, annotations)

    def add_platform(self, reference: Reference, source: Digest, member: Member) -> None:
        """Let a name mean `member`, which its repository has in the index `source`, and with it the images of
        the same index that are here already. What else it meant is forgotten. A name with a digest moves no
        tag."""
        with self._database.transaction():
            index = self._joined(self.name(reference._replace(tag="", digest=source)), source, member)
            self.add_repo_digest(reference.name, source, index.primary, index.id)
            if not reference.digest:
                self.tag(reference, index.primary, index.id)

    def _joined(self, known: Name | None, source: Digest, member: Member) -> ImageIndex:
        """The index over what is `known` of `source` and `member`."""
        index = self._indexes.get(known.index_id) if known and known.index_id else None
        if index and index.whole:
            return index
        known_members = index.members if index else ()
        kept = (other for other in known_members if other.platform != member.platform)
        joined = self._indexes.get(self._indexes.put((*kept, member), source=source))
        assert joined is not None
        return joined

    def untag(self, reference: Reference) -> bool:
        """Whether there was such a name."""
        with self._database.transaction():
            found = self._database.row("SELECT image FROM names WHERE name = ?", (str(reference),))
            self._database.execute("DELETE FROM names WHERE name = ?", (str(reference),))
        if found:
            self._tell("untag", found[0], reference.familiar)
        return found is not None

    def add_repo_digest(
        self, repository: str, manifest: Digest, image_id: Digest, index: Digest | None = None
    ) -> None:
        """Remember that `repository` (`registry/path`) holds the image, or the index, under a digest."""
        self._database.execute(
            "INSERT OR REPLACE INTO repo_digests(repository, manifest, image, index_id) VALUES (?, ?, ?, ?)",
            (repository, manifest, image_id, index),
        )

    def repo_digests(self, image_id: Digest) -> list[str]:
        """In the short form that docker shows: `app@sha256:...`; those of indexes that have the image too."""
        rows = self._database.rows(
            "SELECT repository, manifest FROM repo_digests WHERE image = ? OR index_id IN"
            " (SELECT index_id FROM index_members WHERE image = ?) ORDER BY 1, 2",
            (image_id, image_id),
        )
        return [references.parse(f"{repository}@{digest}").familiar for repository, digest in rows]

    def is_in(self, repository: str, image_id: Digest) -> bool:
        """Whether `repository` is known to hold the image, so it may hold one for another platform too."""
        row = self._database.row(
            "SELECT 1 FROM repo_digests WHERE repository = ? AND (image = ? OR index_id IN"
            " (SELECT index_id FROM index_members WHERE image = ?))",
            (repository, image_id, image_id),
        )
        return row is not None

    def delete(self, image_id: Digest) -> None:
        """Forget an image with all its names and the indexes that have it; the bytes stay until they are
        collected."""
        with self._database.transaction():
            self._indexes.forget_with(image_id)
            for table in ("names", "repo_digests"):
                self._database.execute(f"DELETE FROM {table} WHERE image = ?", (image_id,))
            self._database.execute("DELETE FROM images WHERE id = ?", (image_id,))
        self._tell("delete", image_id, image_id)

    def _tell(self, action: str, image_id: Digest, name: str) -> None:
        from wherry.store import events

        events.record(self._root, "image", action, image_id, {"name": name})

    @property
    def _indexes(self) -> Indexes:
        from wherry.store.indexes import Indexes

        return Indexes(self._database)

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


def _runs(image: Image, platform: Platform) -> bool:
    if image.config.platform == platform:
        return True
    from wherry.oci import match

    return match.best([image.config.platform], platform) is not None


def _name(reference: Reference, row: tuple[Any, ...]) -> Name:
    image, updated, index_id, annotations = row
    return Name(reference, image, updated, index_id, decode_pairs(annotations))
