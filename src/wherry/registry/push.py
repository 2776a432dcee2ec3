"""Brings an image from the store to a registry: blobs first, the manifest last.

A pulled image goes out with the manifest that it came with, byte for byte, as long as its blobs are here.
Any other gets a new OCI manifest; its layers keep the compressed blobs that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Note, Transfer, ignore
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing, Pairs
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.descriptor import Descriptor, Manifest
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.access import USUAL, Access
from wherry.registry.client import Client, Report
from wherry.registry.parallel import Stop, each
from wherry.store import events
from wherry.store.images import Image
from wherry.store.store import Store

_TRANSFERS = 4


def push(
    store: Store,
    image: Image,
    reference: Reference,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    access: Access = USUAL,
    form: Form = AS_IT_IS,
    annotations: Pairs = (),
    by_digest: bool = False,
    foreign: bool = False,
) -> Digest:
    """The digest of the manifest that the registry now has under `reference`; its tag does not count, and
    stays where it is, if `by_digest`.

    `form` and `annotations` are those of the manifest. Bytes are told as `Transfer`s of `vertex`; a layer
    that the registry has already is told once, as whole. Layers that may not be passed on are not sent,
    unless `foreign`.
    """
    reference = with_tag(reference)
    with store.lease():
        sources = known_sources(store, image.config.diff_ids, reference)
        mounted = sorted(set(sources.values()))
        with Client(reference, True, mounted, access) as client:
            packing = Packing(store, Layers(store), image, form, annotations)
            pushing = Pushing(store, client, sources, emit, vertex, foreign)
            manifest = pushing.image(packing, image.config.diff_ids)
            place = manifest.digest if by_digest else reference.tag
            digest = client.put_manifest(place, manifest.raw, manifest.media_type)
        store.images.add_repo_digest(reference.name, digest, image.id)
    events.record_transfer(store.root, "push", reference)
    return digest


class Pushing:
    """Images on their way to a repository, several layers at a time; each is packed just before it is sent.

    `sources`: where layers may be mounted from. What may not be passed on is not sent, unless `foreign`.
    """

    def __init__(
        self, store: Store, client: Client, sources: dict[Digest, str], emit: Emit, vertex: int, foreign: bool
    ) -> None:
        self._store = store
        self._client = client
        self._sources = sources
        self._emit = emit
        self._vertex = vertex
        self._foreign = foreign
        self._sent: set[Digest] = set()

    def image(self, packing: Packing, diff_ids: Sequence[Digest]) -> Manifest:
        """Send what the registry has not of an image with these layers; its manifest is not sent."""
        distinct = list(dict.fromkeys(diff_ids))
        for diff_id in distinct:
            self._emit(Transfer(self._vertex, digests.short(diff_id), 0, 0))
        blobs: dict[Digest, Descriptor] = {}
        each(lambda diff_id, stop: self._layer(packing, diff_id, blobs, stop), distinct, _TRANSFERS)
        if left := sum(self._stays(blob) for blob in blobs.values()):
            self._emit(Note("info", f"{left} layers that may not be passed on are named, and not sent"))
        manifest = packing.manifest([blobs[diff_id] for diff_id in diff_ids])
        self.blob(manifest.config)
        return manifest

    def blob(self, blob: Descriptor, report: Report = lambda _: None, source: str = "") -> None:
        """Send one blob of the store, unless that was done before."""
        if blob.digest not in self._sent and not self._stays(blob):
            send(self._client, blob, lambda: self._store.blobs.open(blob.digest), report, source)
            self._sent.add(blob.digest)

    def _layer(self, packing: Packing, diff_id: Digest, blobs: dict[Digest, Descriptor], stop: Stop) -> None:
        blob = blobs[diff_id] = packing.layer(diff_id)
        stop.check()
        name, size = digests.short(diff_id), blob.size

        def report(done: int) -> None:
            stop.check()
            self._emit(Transfer(self._vertex, name, done, size))

        self.blob(blob, report, self._sources.get(diff_id, ""))

    def _stays(self, blob: Descriptor) -> bool:
        return blob.is_foreign and not self._foreign


def send(
    client: Client,
    blob: Descriptor,
    open_blob: Callable[[], BinaryIO],
    report: Report = lambda _: None,
    source: str = "",
) -> None:
    """A blob to a registry, if it has not got it; from its repository `source`, if it will."""
    if client.has_blob(blob.digest):
        report(blob.size)
    elif location := client.mount(blob.digest, source):
        report(0)
        client.upload(blob.digest, blob.size, open_blob, report, location)
    else:
        report(blob.size)


def with_tag(reference: Reference) -> Reference:
    """Where a push goes: a registry lets a tag be chosen, and no digest."""
    reference = reference.with_default_tag()
    if reference.digest:
        raise WherryError(f"cannot push to {reference.familiar}: a digest cannot be chosen, only a tag")
    return reference


def known_sources(store: Store, diff_ids: Collection[Digest], reference: Reference) -> dict[Digest, str]:
    """For some of the layers, another repository of the same registry that has them, as far as we know.

    A registry that has not (any more) answers a mount by taking an upload.
    """
    wanted = set(diff_ids)
    found: dict[Digest, str] = {}
    for other in store.images.all():
        shared = wanted.intersection(other.config.diff_ids)
        for name in store.images.repo_digests(other.id) if shared else ():
            source = references.parse(name)
            if source.registry == reference.registry and source.repository != reference.repository:
                found.update(dict.fromkeys(shared - found.keys(), source.repository))
    return found
