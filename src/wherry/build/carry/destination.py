"""Where a cache is written: a registry's repository, or an OCI layout in a folder; its manifest last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Protocol

from wherry.base.errors import Unsupported, WherryError
from wherry.base.locks import locked
from wherry.build.carry.spec import Place
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Manifest, make_index, parse
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.output.archive import LAYOUT, REF_NAME, blob_name, blocks
from wherry.output.layout import Folder
from wherry.output.layoutimage import Layout
from wherry.output.writing import writing
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.registry.client import Client

Open = Callable[[], BinaryIO]


class Destination(Protocol):
    """`put` is called from several threads at once."""

    def has(self, blob: Descriptor) -> bool:
        """Whether it is there, so that nobody needs to fetch it first."""

    def put(self, blob: Descriptor, open_blob: Open, diff_id: Digest | None = None) -> None:
        """Write a blob, unless it is there; `diff_id` where it is a layer."""

    def name(self, manifest: Manifest) -> None:
        """Give the cache its name: everything of the manifest is there."""


@contextmanager
def destination(store: Store, place: Place, layers: Sequence[Digest]) -> Iterator[Destination]:
    """The place, for one writer at a time where it is a folder; `layers` are those that will be put."""
    if place.reference:
        with _repository(store, place.reference, layers, place.tls_verify) as repository:
            yield repository
        return
    with writing(place.folder):
        os.makedirs(f"{place.folder}/blobs/sha256", exist_ok=True)
        # Who writes a manifest may take away blobs that the one before it had: no other writer's new ones.
        with locked(place.folder):
            layout = _Layout(place.folder, place.tag)
            try:
                yield layout
            finally:
                layout.close()


class _Layout:
    def __init__(self, folder: str, tag: str) -> None:
        self._folder = folder
        self._tag = tag
        self._files = Folder(folder)
        self._layout = Layout(folder)

    def has(self, blob: Descriptor) -> bool:
        try:
            with open(f"{self._folder}/{blob_name(blob.digest)}", "rb") as file:
                # Read whole: a damaged one would stay for ever.
                return hashlib.file_digest(file, "sha256").hexdigest() == digests.hex_of(blob.digest)
        except FileNotFoundError:
            return False

    def put(self, blob: Descriptor, open_blob: Open, diff_id: Digest | None = None) -> None:  # noqa: ARG002
        if self.has(blob):
            return
        with suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{blob_name(blob.digest)}")  # it is damaged
        with open_blob() as file:
            self._files.file(blob_name(blob.digest), blob.size, blocks(file))

    def name(self, manifest: Manifest) -> None:
        before = self._entries()
        kept = [entry for entry in before if dict(entry.annotations).get(REF_NAME) != self._tag]
        entry = Descriptor(media.MANIFEST, manifest.digest, len(manifest.raw), ((REF_NAME, self._tag),))
        index = make_index((*kept, entry)).raw
        self._files.file(blob_name(manifest.digest), len(manifest.raw), [manifest.raw])
        self._files.file("oci-layout", len(LAYOUT), [LAYOUT])
        self._files.file("index.json", len(index), [index])
        self._files.finish()
        self._sweep([entry for entry in before if entry not in kept], (*kept, entry))

    def close(self) -> None:
        """Without a name, nothing stays of what was put."""
        self._files.close()

    def _entries(self) -> tuple[Descriptor, ...]:
        try:
            return self._layout.index().manifests
        except WherryError:
            return ()  # none yet, or nothing that anybody could read

    def _sweep(self, replaced: Sequence[Descriptor], kept: Sequence[Descriptor]) -> None:
        """Delete what the cache that was replaced had, unless something that has a name may have it too."""
        try:
            doomed = self._blobs(replaced) - self._blobs(kept)
        except WherryError:
            return
        for digest in doomed:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{blob_name(digest)}")

    def _blobs(self, entries: Sequence[Descriptor]) -> set[Digest]:
        """The manifests and what they name; WherryError where one cannot be read, or is not of one image."""
        found: set[Digest] = set()
        for entry in entries:
            manifest = parse(self._layout.document(entry), entry.media_type)
            if not isinstance(manifest, Manifest):
                raise Unsupported(f"{entry.digest} is for several platforms")
            found |= {entry.digest, *(blob.digest for blob in (manifest.config, *manifest.layers))}
        return found


class _Repository:
    def __init__(self, client: Client, reference: Reference, sources: dict[Digest, str]) -> None:
        self._client = client
        self._reference = reference
        self._sources = sources

    def has(self, blob: Descriptor) -> bool:
        return self._client.has_blob(blob.digest)

    def put(self, blob: Descriptor, open_blob: Open, diff_id: Digest | None = None) -> None:
        from wherry.registry.push import send

        send(self._client, blob, open_blob, source=self._sources.get(diff_id, "") if diff_id else "")

    def name(self, manifest: Manifest) -> None:
        self._client.put_manifest(self._reference.tag, manifest.raw, manifest.media_type)


@contextmanager
def _repository(
    store: Store, reference: Reference, layers: Sequence[Digest], tls_verify: bool | None
) -> Iterator[Destination]:
    from wherry.registry import access
    from wherry.registry.client import Client
    from wherry.registry.push import known_sources

    sources = known_sources(store, layers, reference)
    mounted = sorted(set(sources.values()))
    with Client(reference, True, mounted, access=access.load(tls_verify)) as client:
        yield _Repository(client, reference, sources)
