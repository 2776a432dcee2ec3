"""Images of several platforms under one name: what an OCI index is in the store.

    names.index_id, repo_digests.index_id -> indexes -> index_members -> images

An index is built here or pulled. One that was pulled whole is kept byte for byte with all that it names, also
what is no image (attestations, indexes within it), so it can be pushed again with the same digest:
`index_blobs` are its manifests of all kinds, and all blobs of what is no image. Of one that was pulled in
part the members are kept.

An index is immutable. It is held by names and digests, and its members are held with it; one that has
neither holds nothing, and goes with the next `prune`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import match
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.database import Database, Pairs, decode_pairs, encode, encode_pairs

_MEMBER = "platform, image, manifest, annotations, described"


class Member(NamedTuple):
    """An image of an index, for the platform that the index says. `manifest`: the one it was pulled with.

    `annotations` are those of the manifest that is made for it where there is none, `described` those of the
    index's entry for it.
    """

    platform: Platform
    image: Digest
    manifest: Digest | None = None
    annotations: Pairs = ()
    described: Pairs = ()


class ImageIndex(NamedTuple):
    """`source`: the digest of the index that the members were pulled from; `whole`: its bytes are a blob of
    the store, and all that it names is here. `created`: when it came to be in this store (unix seconds)."""

    id: Digest
    members: tuple[Member, ...]
    annotations: Pairs
    source: Digest | None
    whole: bool
    created: float

    def member(self, platform: Platform) -> Member | None:
        """The one to take on a machine of `platform`."""
        number = match.best([member.platform for member in self.members], platform)
        return None if number is None else self.members[number]

    @property
    def primary(self) -> Digest:
        """The image that is meant where no platform is asked for: this machine's, else the first."""
        return (self.member(platforms.host()) or self.members[0]).image

    @property
    def is_one_of_others(self) -> bool:
        """Whether only one of its images was pulled: then that is what its name means."""
        return self.source is not None and not self.whole and len(self.members) == 1

    @property
    def platforms(self) -> list[str]:
        """To be shown."""
        return [str(member.platform) for member in self.members]


class Indexes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        members: Iterable[Member],
        annotations: Mapping[str, str] | Pairs = (),
        source: Digest | None = None,
    ) -> Digest:
        """Enter an index over images that are here; its ID depends on the arguments alone."""
        members, pairs = tuple(members), tuple(sorted(dict(annotations).items()))
        described = [_row(member) for member in members]
        index_id = digests.of(encode([described, pairs, source]).encode())
        self._enter(ImageIndex(index_id, members, pairs, source, False, time.time()), ())
        return index_id

    def put_whole(self, digest: Digest, members: Iterable[Member], blobs: Iterable[Digest]) -> Digest:
        """Enter the index whose bytes are the blob `digest`; `blobs` are the others that its images have not:
        manifests, indexes within it, and all of what is no image. They and the images are here."""
        index = ImageIndex(digest, tuple(members), (), digest, True, time.time())
        self._enter(index, dict.fromkeys((digest, *blobs)))
        return digest

    def _enter(self, index: ImageIndex, blobs: Iterable[Digest]) -> None:
        with self._database.transaction():
            for table in ("index_members", "index_blobs"):
                self._database.execute(f"DELETE FROM {table} WHERE index_id = ?", (index.id,))
            self._database.execute(
                "INSERT OR IGNORE INTO indexes VALUES (?, ?, ?, ?, ?)",
                (index.id, index.created, index.source, index.whole, encode_pairs(index.annotations)),
            )
            for position, member in enumerate(index.members):
                self._database.execute(
                    f"INSERT INTO index_members(index_id, position, {_MEMBER}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (index.id, position, *_row(member)),
                )
            for digest in blobs:
                self._database.execute("INSERT INTO index_blobs VALUES (?, ?)", (index.id, digest))

    def get(self, index_id: Digest) -> ImageIndex | None:
        """None where it is not there, or where it lost an image."""
        row = self._database.row(
            "SELECT created, source, whole, annotations FROM indexes WHERE id = ?", (index_id,)
        )
        members = tuple(
            _member(row)
            for row in self._database.rows(
                f"SELECT {_MEMBER} FROM index_members WHERE index_id = ? ORDER BY position", (index_id,)
            )
        )
        if row is None or not members:
            return None
        created, source, whole, annotations = row
        return ImageIndex(index_id, members, decode_pairs(annotations), source, bool(whole), created)

    def all(self) -> list[ImageIndex]:
        rows = self._database.rows("SELECT id FROM indexes ORDER BY created DESC, id")
        return [index for row in rows if (index := self.get(row[0]))]

    def blobs_with(self, image_id: Digest) -> list[Digest]:
        """Blobs that are kept for the indexes that have the image."""
        rows = self._database.rows(
            "SELECT digest FROM index_blobs WHERE index_id IN"
            " (SELECT index_id FROM index_members WHERE image = ?)",
            (image_id,),
        )
        return [row[0] for row in rows]

    def blobs(self) -> set[Digest]:
        """Every blob that is kept for an index."""
        rows = self._database.rows(
            "SELECT digest FROM index_blobs UNION SELECT manifest FROM index_members WHERE manifest NOT NULL"
        )
        return {row[0] for row in rows}

    def sweep(self) -> None:
        """Forget those that no name and no digest means any more."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT id FROM indexes WHERE id NOT IN"
                " (SELECT index_id FROM names WHERE index_id NOT NULL"
                " UNION SELECT index_id FROM repo_digests WHERE index_id NOT NULL)"
            )
            for row in rows:
                self._forget(row[0])

    def forget_with(self, image_id: Digest) -> None:
        """Forget those that have the image, also what means them; within a transaction of the caller's."""
        for row in self._database.rows("SELECT index_id FROM index_members WHERE image = ?", (image_id,)):
            for table in ("names", "repo_digests"):
                self._database.execute(f"UPDATE {table} SET index_id = NULL WHERE index_id = ?", row)
            self._forget(row[0])

    def _forget(self, index_id: Digest) -> None:
        for table in ("index_members", "index_blobs"):
            self._database.execute(f"DELETE FROM {table} WHERE index_id = ?", (index_id,))
        self._database.execute("DELETE FROM indexes WHERE id = ?", (index_id,))


def _row(member: Member) -> tuple[str, Digest, Digest | None, str, str]:
    platform = encode(member.platform.to_json())
    annotations, described = encode_pairs(member.annotations), encode_pairs(member.described)
    return platform, member.image, member.manifest, annotations, described


def _member(row: tuple[Any, ...]) -> Member:
    platform, image, manifest, annotations, described = row
    found = platforms.from_json(json.loads(platform))
    return Member(found, image, manifest, decode_pairs(annotations), decode_pairs(described))
