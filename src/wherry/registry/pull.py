"""Brings an image from a registry into the store.

Name -> index -> manifest of the platform -> config -> layers, each checked against the digest that named it.
The image is entered, and its name moved, only when all of its bytes are in place.
"""

from __future__ import annotations

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.events import Emit, Note, Transfer, ignore
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor, Index, Manifest, parse
from wherry.oci.digest import Digest
from wherry.oci.match import choose, offered, runnable
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.registry.client import Client
from wherry.registry.config import Registries
from wherry.registry.credentials import Credentials
from wherry.registry.fetch import fetch
from wherry.registry.parallel import Stop, each
from wherry.registry.transport import Retries
from wherry.store.images import Image
from wherry.store.partials import Partial
from wherry.store.store import Store

_TRANSFERS = 4
_MAX_INDEXES = 3
"""Indexes within indexes that are followed."""
_MAX_LAYERS = 1000


class Pulled(NamedTuple):
    """`digest`: what the registry has under the name, the index's where there is one; `fresh`: it is news."""

    image: Image
    digest: Digest
    fresh: bool


def pull(
    store: Store,
    reference: Reference,
    platform: Platform | None = None,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    credentials: Credentials | None = None,
    retries: Retries | None = None,
    registries: Registries | None = None,
) -> Image:
    """The image that the registry has under `reference` for `platform` (None: this machine's), stored.

    Its bytes are told as `Transfer`s of `vertex`; a layer that is there already is told once, as whole.
    """
    return retrieve(
        store,
        reference,
        platform,
        emit,
        vertex,
        credentials=credentials,
        retries=retries,
        registries=registries,
    ).image


def retrieve(
    store: Store,
    reference: Reference,
    platform: Platform | None = None,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    credentials: Credentials | None = None,
    retries: Retries | None = None,
    registries: Registries | None = None,
) -> Pulled:
    """As `pull`, with the digest that docker shows."""
    reference = reference.with_default_tag()
    client = Client(reference, credentials=credentials, retries=retries, registries=registries, emit=emit)
    with store.lease(), client:
        digest, manifest = resolve(client, reference, platform)
        config_raw = _config(store, client, manifest)
        config = configs.parse(config_raw)
        _check(reference, manifest, config, platform, emit)
        _Layers(store, client, emit, vertex).fetch(manifest, config)
        return _enter(store, reference, digest, manifest, config_raw)


def resolve(client: Client, reference: Reference, platform: Platform | None) -> tuple[Digest, Manifest]:
    """The digest of what bears the name, and the manifest for the platform."""
    document = client.manifest(reference.digest or reference.tag)
    digest = document.digest
    for _ in range(_MAX_INDEXES):
        parsed = _parsed(reference, document.raw, document.media_type)
        if isinstance(parsed, Manifest):
            return digest, parsed
        document = client.manifest(_chosen(reference, parsed, platform or platforms.host()).digest)
    raise Unsupported(f"{reference.familiar} is an index of indexes, more than {_MAX_INDEXES} deep")


def _parsed(reference: Reference, raw: bytes, media_type: str) -> Manifest | Index:
    try:
        return parse(raw, media_type)
    except WherryError as error:
        error.message = f"{reference.familiar}: {error.message}"
        raise


def _chosen(reference: Reference, index: Index, platform: Platform) -> Descriptor:
    found = choose(index.manifests, platform)
    if found is None:
        raise NotFound(
            f"{reference.familiar} has no image for {platform}",
            hint=f"it has: {', '.join(offered(index.manifests)) or 'none at all'}",
        )
    return found


def _config(store: Store, client: Client, manifest: Manifest) -> bytes:
    if manifest.config.media_type not in (media.CONFIG, media.DOCKER_CONFIG):
        raise Unsupported(
            f"{client.reference.familiar} is not a container image: its config is of type"
            f" {manifest.config.media_type or 'unknown'}"
        )
    if store.blobs.has(manifest.config.digest):
        return store.blobs.read(manifest.config.digest)
    return client.small_blob(manifest.config)


def _check(
    reference: Reference, manifest: Manifest, config: ImageConfig, platform: Platform | None, emit: Emit
) -> None:
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"{reference.familiar} has {len(manifest.layers)} layers, and diff IDs for"
            f" {len(config.diff_ids)} in its config"
        )
    if len(manifest.layers) > _MAX_LAYERS:
        raise Unsupported(f"{reference.familiar} has {len(manifest.layers)} layers: too many")
    wanted = platform or platforms.host()
    if config.platform not in runnable(wanted):
        if platform:
            raise NotFound(f"{reference.familiar} is for {config.platform}, not for {platform}")
        emit(Note("warning", f"{reference.familiar} is for {config.platform}, this machine is {wanted}"))


class _Layers:
    """The layers of one image on their way, several at a time; the same blob twice is fetched once.

    Each is read while it is received. What was received when the way breaks off stays for the next pull.
    """

    def __init__(self, store: Store, client: Client, emit: Emit, vertex: int) -> None:
        self._store = store
        self._layers = Layers(store)
        self._client = client
        self._emit = emit
        self._vertex = vertex

    def fetch(self, manifest: Manifest, config: ImageConfig) -> None:
        """Every layer that is not there yet, verified by both its digests and entered."""
        missing = []
        for layer, diff_id in dict.fromkeys(zip(manifest.layers, config.diff_ids, strict=True)):
            present = self._present(layer, diff_id)
            self._emit(
                Transfer(self._vertex, digests.short(layer.digest), layer.size if present else 0, layer.size)
            )
            if not present:
                missing.append((layer, diff_id))
        each(self._fetch, missing, _TRANSFERS)

    def _present(self, layer: Descriptor, diff_id: Digest) -> bool:
        known = any(blob.digest == layer.digest for blob in self._store.layers.blobs_of(diff_id))
        return known and self._store.blobs.has(layer.digest)

    def _fetch(self, item: tuple[Descriptor, Digest], stop: Stop) -> None:
        layer, diff_id = item
        try:
            with self._store.partials.open(layer.digest, stop.check) as partial:
                if partial is None:
                    self._layers.add_blob(diff_id, layer)
                else:
                    self._receive(layer, diff_id, partial, stop)
        except Corrupt as error:
            shown = self._client.reference.familiar
            raise Corrupt(f"{shown}: layer {digests.short(layer.digest)}: {error.message}") from None
        self._emit(Transfer(self._vertex, digests.short(layer.digest), layer.size, layer.size))

    def _receive(self, layer: Descriptor, diff_id: Digest, partial: Partial, stop: Stop) -> None:
        name = digests.short(layer.digest)

        def report(done: int) -> None:
            stop.check()
            if done < layer.size:  # it is told as whole when it has been verified
                self._emit(Transfer(self._vertex, name, done, layer.size))

        incoming = self._layers.incoming(diff_id)
        fetch(self._client, layer, partial, incoming.read, report)
        partial.commit()
        incoming.enter(layer)


def _enter(
    store: Store, reference: Reference, digest: Digest, manifest: Manifest, config_raw: bytes
) -> Pulled:
    """The image's rows, its name last. A pull by digest moves no name, as with docker."""
    before = store.images.id_of(reference)
    image_id = store.images.put(config_raw, manifest.raw)
    store.images.add_repo_digest(reference.name, digest, image_id)
    if not reference.digest:
        store.images.tag(reference, image_id)
    return Pulled(store.images.get(image_id), digest, before != image_id)
