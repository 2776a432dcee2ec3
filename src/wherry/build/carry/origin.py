"""Where a cache is read: a registry's repository, or an OCI layout in a folder. All bytes are verified."""

from __future__ import annotations

from typing import Protocol

from wherry.build.carry.spec import Place
from wherry.oci.descriptor import Descriptor, Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.output import layoutimage
from wherry.output.layoutimage import Layout
from wherry.store.store import Store


class Origin(Protocol):
    """Every method raises a WherryError where it cannot give what it was asked for; of any thread."""

    def manifest(self, platform: Platform) -> Manifest:
        """What bears the cache's name; of an image for several platforms, the one for `platform`."""

    def small(self, blob: Descriptor) -> bytes:
        """A blob whole, 16 MiB at most."""

    def fetch(self, blob: Descriptor) -> None:
        """Bring a blob into the store."""

    def close(self) -> None: ...


def origin(store: Store, place: Place) -> Origin:
    return _Repository(store, place.reference, place.tls_verify) if place.reference else _Folder(store, place)


class _Folder:
    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = layoutimage.Place(place.folder, place.tag, place.digest or "")
        self._layout = Layout(place.folder)

    def manifest(self, platform: Platform) -> Manifest:
        entry = layoutimage.picked(self._layout.index(), self._place, platform)
        return self._layout.manifest(entry, platform)

    def small(self, blob: Descriptor) -> bytes:
        return self._layout.document(blob)

    def fetch(self, blob: Descriptor) -> None:
        self._layout.copy(self._store, blob)

    def close(self) -> None:
        pass


class _Repository:
    def __init__(self, store: Store, reference: Reference, tls_verify: bool | None) -> None:
        from wherry.registry import access
        from wherry.registry.client import Client

        self._store = store
        self._reference = reference
        self._client = Client(reference, access=access.load(tls_verify))

    def manifest(self, platform: Platform) -> Manifest:
        from wherry.registry.resolve import resolve

        return resolve(self._client, self._reference, platform)[1]

    def small(self, blob: Descriptor) -> bytes:
        return self._client.small_blob(blob)

    def fetch(self, blob: Descriptor) -> None:
        from wherry.registry.fetch import fetch

        if self._store.blobs.has(blob.digest):
            return
        with self._store.partials.open(blob.digest) as partial:
            if partial is not None:
                fetch(self._client, blob, partial)
                partial.commit()

    def close(self) -> None:
        self._client.close()
