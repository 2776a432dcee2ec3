"""Brings an image from a registry into the store, or all images of an index.

Name -> index -> manifest of the platform -> config -> layers, each checked against the digest that named it.
The image is entered, and its name moved, only when all of its bytes are in place. An index pulled with
all it names is kept byte for byte, so that it can be pushed as it came (store/indexes.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from wherry.base.errors import Corrupt, NotFound, Unsupported
from wherry.base.events import Emit, Note, Transfer, ignore
from wherry.base.tuples import NamedTuple
from wherry.layer.layers import Layers
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor, Manifest
from wherry.oci.digest import Digest
from wherry.oci.match import best
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.registry import trees
from wherry.registry.access import USUAL, Access
from wherry.registry.client import Client
from wherry.registry.fetch import fetch
from wherry.registry.parallel import Stop, each
from wherry.registry.resolve import Resolved, read, resolve
from wherry.registry.trees import Tree
from wherry.store import events
from wherry.store.images import Image
from wherry.store.indexes import Member
from wherry.store.partials import Partial
from wherry.store.store import Store

_TRANSFERS = 4
_MAX_LAYERS = 1000


class Pulled(NamedTuple):
    """`digest`: what the registry has under the name, the index's where there is one; `fresh`: it is news.

    Of all images of an index `image` is the one that is taken where no platform is asked for.
    """

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
    access: Access = USUAL,
    unpack: bool = False,
) -> Image:
    """The image that the registry has under `reference` for `platform` (None: this machine's), stored.

    Its bytes are told as `Transfer`s of `vertex`; a layer that is there already is told once, as whole.
    `unpack`: layers are extracted on the way, for a process of this one's mode.
    """
    return retrieve(store, reference, platform, emit, vertex, access=access, unpack=unpack).image


def retrieve(
    store: Store,
    reference: Reference,
    platform: Platform | None = None,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    access: Access = USUAL,
    unpack: bool = False,
) -> Pulled:
    """As `pull`, with the digest that docker shows."""
    reference = reference.with_default_tag()
    client = Client(reference, access=access, emit=emit)
    with store.lease(), client:
        found = resolve(client, reference, platform)
        return _retrieve(store, client, found, platform, emit, vertex, unpack=unpack)


def _retrieve(
    store: Store,
    client: Client,
    found: Resolved,
    platform: Platform | None,
    emit: Emit,
    vertex: int,
    *,
    unpack: bool = False,
) -> Pulled:
    config_raw = _config(store, client, found.manifest)
    config = configs.parse(config_raw)
    layers = _layers_of(client.reference, found.manifest, config)
    if found.platform is None:
        _check_platform(client.reference, config, platform, emit)
    _Layers(store, client, emit, vertex).fetch(layers, unpack=unpack)
    return _enter(store, client.reference, found, config_raw)


def retrieve_all(
    store: Store,
    reference: Reference,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    access: Access = USUAL,
) -> Pulled:
    """As `retrieve`, with the images of all platforms and all else that an index names."""
    reference = reference.with_default_tag()
    client = Client(reference, access=access, emit=emit)
    with store.lease(), client:
        root = read(client, reference.digest or reference.tag)
        if isinstance(root, Manifest):
            return _retrieve(store, client, Resolved(root.digest, root), None, emit, vertex)
        tree = trees.read(store, client, root)
        if not tree.images:
            raise Unsupported(f"{reference.familiar} is an index without a container image")
        raws = [_config(store, client, found.manifest) for found in tree.images]
        layers = _Layers(store, client, emit, vertex)
        layers.fetch(
            pair
            for found, raw in zip(tree.images, raws, strict=True)
            for pair in _layers_of(reference, found.manifest, configs.parse(raw))
        )
        layers.keep(blob for manifest in tree.others for blob in (manifest.config, *manifest.layers))
        return _enter_all(store, reference, root.digest, tree, raws, emit)


def _config(store: Store, client: Client, manifest: Manifest) -> bytes:
    if manifest.config.media_type not in media.CONFIGS:
        raise Unsupported(
            f"{client.reference.familiar} is not a container image: its config is of type"
            f" {manifest.config.media_type or 'unknown'}"
        )
    if store.blobs.has(manifest.config.digest):
        store.blobs.check_size(manifest.config)
        return store.blobs.read(manifest.config.digest)
    return client.small_blob(manifest.config)


def _layers_of(
    reference: Reference, manifest: Manifest, config: ImageConfig
) -> Iterable[tuple[Descriptor, Digest]]:
    """The layers with their diff IDs."""
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"{reference.familiar} has {len(manifest.layers)} layers, and diff IDs for"
            f" {len(config.diff_ids)} in its config"
        )
    if len(manifest.layers) > _MAX_LAYERS:
        raise Unsupported(f"{reference.familiar} has {len(manifest.layers)} layers: too many")
    return zip(manifest.layers, config.diff_ids, strict=True)


def _check_platform(reference: Reference, config: ImageConfig, platform: Platform | None, emit: Emit) -> None:
    """Of an image that no index says anything of."""
    wanted = platform or platforms.host()
    if best([config.platform], wanted) is None:
        if platform:
            raise NotFound(f"{reference.familiar} is for {config.platform}, not for {platform}")
        emit(Note("warning", f"{reference.familiar} is for {config.platform}, this machine is {wanted}"))


class _Layers:
    """The layers of images on their way, several at a time; the same blob twice is fetched once.

    Each is read while it is received. What was received when the way breaks off stays for the next pull.
    """

    def __init__(self, store: Store, client: Client, emit: Emit, vertex: int) -> None:
        self._store = store
        self._layers = Layers(store)
        self._client = client
        self._emit = emit
        self._vertex = vertex
        self._trees = ""

    def fetch(self, layers: Iterable[tuple[Descriptor, Digest]], *, unpack: bool = False) -> None:
        """Every layer that is not there yet, verified by both its digests and entered; if `unpack`, with a
        tree that is extracted on the way."""
        missing = []
        for layer, diff_id in dict.fromkeys(layers):
            self._store.blobs.check_size(layer)
            present = self._present(layer, diff_id)
            self._emit(
                Transfer(self._vertex, digests.short(layer.digest), layer.size if present else 0, layer.size)
            )
            if not present:
                missing.append((layer, diff_id))
        # After Ctrl-C a thread may hang in a silent connection, and cannot clean up behind itself.
        with self._store.scratch("trees") if unpack else nullcontext("") as self._trees:
            each(self._fetch, missing, _TRANSFERS)

    def keep(self, blobs: Iterable[Descriptor]) -> None:
        """Every blob that is not there yet, of what is no image: bytes, verified by their digest."""
        missing = []
        for blob in dict.fromkeys(blobs):
            self._store.blobs.check_size(blob)
            if not self._store.blobs.has(blob.digest):
                missing.append(blob)
        each(self._keep, missing, _TRANSFERS)

    def _keep(self, blob: Descriptor, stop: Stop) -> None:
        with (
            _said_of(self._client, "blob", blob),
            self._store.partials.open(blob.digest, stop.check) as partial,
        ):
            if partial is not None:
                fetch(self._client, blob, partial, lambda _: stop.check())
                partial.commit()

    def _present(self, layer: Descriptor, diff_id: Digest) -> bool:
        known = any(blob.digest == layer.digest for blob in self._store.layers.blobs_of(diff_id))
        return known and self._store.blobs.has(layer.digest)

    def _fetch(self, item: tuple[Descriptor, Digest], stop: Stop) -> None:
        layer, diff_id = item
        with (
            _said_of(self._client, "layer", layer),
            self._store.partials.open(layer.digest, stop.check) as partial,
        ):
            if partial is None:
                self._layers.add_blob(diff_id, layer)
            else:
                self._receive(layer, diff_id, partial, stop)
        self._emit(Transfer(self._vertex, digests.short(layer.digest), layer.size, layer.size))

    def _receive(self, layer: Descriptor, diff_id: Digest, partial: Partial, stop: Stop) -> None:
        name = digests.short(layer.digest)

        def report(done: int) -> None:
            stop.check()
            if done < layer.size:  # it is told as whole when it has been verified
                self._emit(Transfer(self._vertex, name, done, layer.size))

        incoming = self._layers.incoming(diff_id, self._trees)
        fetch(self._client, layer, partial, report, incoming.read)
        partial.commit()
        incoming.enter(layer)


@contextmanager
def _said_of(client: Client, kind: str, blob: Descriptor) -> Iterator[None]:
    """What is wrong with a blob, with its name."""
    try:
        yield
    except Corrupt as error:
        shown = client.reference.familiar
        raise Corrupt(
            f"{shown}: {kind} {digests.short(blob.digest)}: {error.message}", hint=error.hint
        ) from None


def _enter(store: Store, reference: Reference, found: Resolved, config_raw: bytes) -> Pulled:
    """The image's rows, its name last. A pull by digest moves no name, as with docker."""
    before = _reached(store, reference)
    image = store.images.get(store.images.put(config_raw, found.manifest.raw))
    if found.in_index:
        member = Member(found.platform or image.config.platform, image.id, found.manifest.digest)
        store.images.add_platform(reference, found.digest, member)
    else:
        store.images.add_repo_digest(reference.name, found.digest, image.id)
        if not reference.digest:
            store.images.tag(reference, image.id)
    events.record_transfer(store.root, "pull", reference)
    return Pulled(image, found.digest, image.id not in before)


def _enter_all(
    store: Store, reference: Reference, digest: Digest, tree: Tree, raws: list[bytes], emit: Emit
) -> Pulled:
    """As `_enter`, for all that an index names."""
    before = store.images.name(reference)
    for document in tree.documents.values():
        store.blobs.put(document.raw)
    members = []
    for found, raw in zip(tree.images, raws, strict=True):
        image = store.images.get(store.images.put(raw, found.manifest.raw))
        members.append(Member(found.platform or image.config.platform, image.id, found.manifest.digest))
    blobs = [blob.digest for manifest in tree.others for blob in (manifest.config, *manifest.layers)]
    index = store.indexes.get(store.indexes.put_whole(digest, members, (*tree.documents, *blobs)))
    assert index is not None
    if index.member(platforms.host()) is None:
        emit(Note("warning", f"{reference.familiar} has no image for this machine, {platforms.host()}"))
    store.images.add_repo_digest(reference.name, digest, index.primary, index.id)
    if not reference.digest:
        store.images.tag(reference, index.primary, index.id)
    events.record_transfer(store.root, "pull", reference)
    return Pulled(store.images.get(index.primary), digest, before is None or before.index_id != index.id)


def _reached(store: Store, reference: Reference) -> set[Digest]:
    """The images that the name means now."""
    name, index = store.images.name(reference), store.images.index_of(str(reference))
    return ({name.image} if name else set()) | (
        {member.image for member in index.members} if index else set()
    )
