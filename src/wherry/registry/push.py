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
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.client import Client, Report
from wherry.registry.config import Registries
from wherry.registry.credentials import Credentials
from wherry.registry.parallel import Stop, each
from wherry.registry.transport import Retries
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
    credentials: Credentials | None = None,
    retries: Retries | None = None,
    form: Form = AS_IT_IS,
    annotations: Pairs = (),
    registries: Registries | None = None,
    by_digest: bool = False,
    foreign: bool = False,
) -> Digest:
    """The digest of the manifest that the registry now has under `reference`; its tag does not count, and
    stays where it is, if `by_digest`.

    `form` and `annotations` are those of the manifest. Bytes are told as `Transfer`s of `vertex`; a layer
    that the registry has already is told once, as whole. Layers that may not be passed on are not sent,
    unless `foreign`.
    """
    reference = reference.with_default_tag()
    if reference.digest:
        raise WherryError(f"cannot push to {reference.familiar}: a digest cannot be chosen, only a tag")
    with store.lease():
        sources = known_sources(store, image.config.diff_ids, reference)
        mounted = sorted(set(sources.values()))
        with Client(reference, True, mounted, credentials, retries, registries=registries) as client:
            packing = Packing(store, Layers(store), image, form, annotations)
            pushing = _Push(store, client, packing, sources, emit, vertex, foreign=foreign)
            layers = pushing.layers(image.config.diff_ids)
            manifest = packing.manifest(layers)
            send(client, manifest.config, lambda: store.blobs.open(manifest.config.digest))
            place = manifest.digest if by_digest else reference.tag
            digest = client.put_manifest(place, manifest.raw, manifest.media_type)
        store.images.add_repo_digest(reference.name, digest, image.id)
    return digest


class _Push:
    """The layers of one image on their way, several at a time; each is packed just before it is sent."""

    def __init__(
        self,
        store: Store,
        client: Client,
        packing: Packing,
        sources: dict[Digest, str],
        emit: Emit,
        vertex: int,
        *,
        foreign: bool,
    ) -> None:
        self._store = store
        self._client = client
        self._packing = packing
        self._sources = sources
        self._emit = emit
        self._vertex = vertex
        self._foreign = foreign
        self._sent: dict[Digest, Descriptor] = {}
        self._left: list[Digest] = []

    def layers(self, diff_ids: Sequence[Digest]) -> tuple[Descriptor, ...]:
        """Send what the registry has not; the descriptors in the order of `diff_ids`."""
        distinct = list(dict.fromkeys(diff_ids))
        for diff_id in distinct:
            self._emit(Transfer(self._vertex, digests.short(diff_id), 0, 0))
        each(self._send, distinct, _TRANSFERS)
        if self._left:
            self._emit(
                Note("info", f"{len(self._left)} layers that may not be passed on are named, and not sent")
            )
        return tuple(self._sent[diff_id] for diff_id in diff_ids)

    def _send(self, diff_id: Digest, stop: Stop) -> None:
        blob = self._packing.layer(diff_id)
        stop.check()
        self._sent[diff_id] = blob
        if blob.is_foreign and not self._foreign:
            self._left.append(diff_id)
            return
        name, size = digests.short(diff_id), blob.size

        def report(done: int) -> None:
            stop.check()
            self._emit(Transfer(self._vertex, name, done, size))

        send(
            self._client,
            blob,
            lambda: self._store.blobs.open(blob.digest),
            report,
            self._sources.get(diff_id, ""),
        )


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
