"""Brings an image from a registry into the store.

Name -> index -> manifest of the platform -> config -> layers, each checked against the digest that named it.
The image is entered, and its name moved, only when all of its bytes are in place.
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.events import Emit, Note, Transfer, ignore
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
from wherry.registry.credentials import Credentials
from wherry.registry.parallel import Stop, each
from wherry.registry.transport import Retries
from wherry.store.images import Image
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
) -> Image:
    """The image that the registry has under `reference` for `platform` (None: this machine's), stored.

    Its bytes are told as `Transfer`s of `vertex`; a layer that is there already is told once, as whole.
    """
    return retrieve(store, reference, platform, emit, vertex, credentials=credentials, retries=retries).image


def retrieve(
    store: Store,
    reference: Reference,
    platform: Platform | None = None,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    credentials: Credentials | None = None,
    retries: Retries | None = None,
) -> Pulled:
    """As `pull`, with the digest that docker shows."""
    reference = reference.with_default_tag()
    client = Client(reference, credentials=credentials, retries=retries)
    with store.lease(), client:
        digest, manifest = _resolve(client, reference, platform)
        config_raw = _config(store, client, manifest)
        config = configs.parse(config_raw)
        _check(reference, manifest, config, platform, emit)
        _fetch_layers(store, client, manifest, config, emit, vertex)
        return _enter(store, reference, digest, manifest, config_raw)


def _resolve(client: Client, reference: Reference, platform: Platform | None) -> tuple[Digest, Manifest]:
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
        error.message = f"{reference.registry}: {reference.familiar}: {error.message}"
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


def _fetch_layers(
    store: Store, client: Client, manifest: Manifest, config: ImageConfig, emit: Emit, vertex: int
) -> None:
    """Every layer's blob that is not there yet, several at a time; the same blob twice is fetched once."""
    wanted: dict[Digest, tuple[Descriptor, Digest]] = {}
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        wanted.setdefault(layer.digest, (layer, diff_id))
    missing = []
    for layer, diff_id in wanted.values():
        if store.blobs.has(layer.digest):
            emit(Transfer(vertex, digests.short(layer.digest), layer.size, layer.size))
        else:
            missing.append((layer, diff_id))
    for layer, _ in missing:
        emit(Transfer(vertex, digests.short(layer.digest), 0, layer.size))

    def fetch(item: tuple[Descriptor, Digest], stop: Stop) -> None:
        _fetch(store, client, item[0], stop, emit, vertex)

    each(fetch, missing, _TRANSFERS)
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        store.layers.add_blob(diff_id, layer)


def _fetch(store: Store, client: Client, layer: Descriptor, stop: Stop, emit: Emit, vertex: int) -> None:
    name = digests.short(layer.digest)

    def report(done: int) -> None:
        stop.check()
        emit(Transfer(vertex, name, done, layer.size))

    with store.blobs.writer() as writer:
        client.blob(layer, writer.write, report)
        try:
            writer.commit(layer.digest)
        except Corrupt as error:
            raise Corrupt(f"{client.registry}: {client.reference.familiar}: {error.message}") from None


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
