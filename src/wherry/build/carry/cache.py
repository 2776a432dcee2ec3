"""One cache that is read: its results by their keys, its layers when they are asked for.

What it says of its layers' content is a claim until a layer is here: `index` gives claims, which are good for
testing this cache's own traces and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

import msgspec

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.carry import document as documents
from wherry.build.carry import indexes
from wherry.build.carry.document import Content, Document, Looked
from wherry.build.carry.origin import Origin
from wherry.build.reuse import Found, Reuse
from wherry.build.solve import Chain
from wherry.layer.entry import Entry
from wherry.layer.layers import Layers
from wherry.layer.source import limits
from wherry.layer.writer import Layer
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Manifest
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.output.load import layer_type
from wherry.snapshot.observations import joined, split
from wherry.store.records import Result
from wherry.store.store import Store
from wherry.store.traces import KEPT, Trace


class Hit(NamedTuple):
    """A result that holds. `found` says more of it where it was made on another parent; `looked` are traces,
    by their keys, that are good here."""

    result: Result
    found: Found | None = None
    looked: tuple[tuple[Digest, Looked], ...] = ()


class Cache:
    """For one thread at a time, but for `fetch`."""

    def __init__(self, store: Store, layers: Layers, origin: Origin, document: Document) -> None:
        self._store = store
        self._layers = layers
        self._origin = origin
        self._contents = document.layers
        self._records = document.records
        self._traces = _Traces(document.traces)
        self._claims: dict[Digest, Layer] = {}
        self._claimed = 0
        """Entries of all claims: they stay in memory."""
        self._reuse = Reuse(store, self, self._traces)
        self._failure: WherryError | None = None

    def find(
        self,
        keys: Sequence[Digest],
        trace_keys: Sequence[Digest],
        chains: Sequence[Chain],
        takes: Callable[[Result], bool],
    ) -> Hit | None:
        """A result with one of `keys`, or one whose trace has one of `trace_keys` and holds for `chains`; of
        those that `takes` takes."""

        def is_good(result: Result) -> bool:
            return takes(result) and self._is_to_be_had(result.layer)

        for key in keys:
            if key in self._records and is_good(result := self._records[key]):
                return Hit(result, None, tuple(self._made_on(chains, result, trace_keys)))
        for key in trace_keys:
            for trace in self._reuse.fitting(key, chains, is_good):
                looked = self._traces.looked(trace, chains)
                return Hit(trace.result, self._reuse.found(trace, chains), ((key, looked),))
        if self._failure is not None:
            raise self._failure
        return None

    def _made_on(
        self, chains: Sequence[Chain], result: Result, trace_keys: Sequence[Digest]
    ) -> Iterator[tuple[Digest, Looked]]:
        for key in trace_keys:
            for trace in self._traces.of(key):
                if trace.chains == tuple(chains) and trace.layer == result.layer:
                    yield key, self._traces.looked(trace, chains)

    def content(self, diff_id: Digest) -> Content:
        """What it says that it has of a layer."""
        return self._contents.get(diff_id, Content())

    def has(self, diff_id: Digest) -> bool:
        """Whether it has the layer's content, or says so."""
        return self.content(diff_id).blob is not None

    def _is_to_be_had(self, layer: Digest | None) -> bool:
        return layer is None or self.has(layer) or self._layers.has(layer)

    def fetch(self, diff_id: Digest) -> int:
        """Bring the layer into the store, verified; the bytes of its blob."""
        blob = self._contents[diff_id].blob
        assert blob is not None
        self._origin.fetch(blob)
        self._layers.add_blob(diff_id, blob._replace(media_type=layer_type(self._store, blob.digest)))
        return blob.size

    def index(self, diff_id: Digest) -> Layer:
        """What the store knows that the layer has, or else what this cache says of it."""
        try:
            return self._layers.index(diff_id)
        except NotFound:
            pass
        content = self.content(diff_id)
        if content == Content():
            raise NotFound(f"layer {digests.short(diff_id)} is not in it")
        if diff_id not in self._claims:
            try:
                layer = self._claim(diff_id, content)
                self._claimed += len(layer.entries)
                if self._claimed > limits().entries:
                    raise Corrupt(f"its indexes have more than {limits().entries} entries")
                self._claims[diff_id] = layer
            except WherryError as error:
                self._failure = self._failure or error
                raise
        return self._claims[diff_id]

    def _claim(self, diff_id: Digest, content: Content) -> Layer:
        if content.listing is not None:
            return indexes.unpack(self._origin.small(content.listing), diff_id)
        self.fetch(diff_id)
        return self._layers.index(diff_id)

    def open_file(self, diff_id: Digest, entry: Entry) -> BinaryIO:
        """For a view of layers that are in the store."""
        return self._layers.open_file(diff_id, entry)

    def close(self) -> None:
        self._origin.close()


def read(store: Store, layers: Layers, origin: Origin, platforms: Sequence[Platform]) -> Cache:
    """The cache that `origin` has: one of its own, or what the images for these platforms carry."""
    manifests: dict[Digest, Manifest] = {}
    found: list[Document] = []
    problems: list[WherryError] = []
    for platform in platforms:
        try:
            manifest = origin.manifest(platform)
            if manifest.digest not in manifests:
                manifests[manifest.digest] = manifest
                found.append(_document(origin, manifest))
        except WherryError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return Cache(store, layers, origin, _joined(found))


def _joined(found: Sequence[Document]) -> Document:
    """What images of one build carry: each names the layers of all, and has its own."""
    layers: dict[Digest, Content] = {}
    for document in found:
        for diff_id, content in document.layers.items():
            if content.blob is not None or diff_id not in layers:
                layers[diff_id] = content
    records = {key: result for document in found for key, result in document.records.items()}
    traces = {key: looked for document in found for key, looked in document.traces.items()}
    return Document(layers, records, traces)


def _document(origin: Origin, manifest: Manifest) -> Document:
    kind = manifest.config.media_type
    if kind == documents.RESULTS:
        return documents.decode(origin.small(manifest.config))
    if kind in (media.CONFIG, media.DOCKER_CONFIG):
        return _inline(manifest, origin.small(manifest.config))
    raise Unsupported(f"it is no cache that wherry wrote: its config is of type {kind or 'unknown'}")


def _inline(manifest: Manifest, raw: bytes) -> Document:
    """What an image's config carries; the layers are the image's."""
    config = configs.parse(raw)
    carried = dict(config.other).get(documents.INLINE_KEY)
    if carried is None:
        raise NotFound("the image carries no cache: build it with --cache-to type=inline")
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(f"{len(manifest.layers)} layers, and {len(config.diff_ids)} diff IDs for them")
    document = documents.decode(msgspec.json.encode(carried))
    own = {diff_id: Content(blob) for diff_id, blob in zip(config.diff_ids, manifest.layers, strict=True)}
    return document._replace(layers={**document.layers, **own})


class _Traces:
    """Traces as `Reuse` asks for them, each with a number of its own."""

    def __init__(self, traces: Mapping[Digest, Sequence[Looked]]) -> None:
        self._all: list[Looked] = []
        self._numbers: dict[Digest, range] = {}
        for key, looked in traces.items():
            self._numbers[key] = range(len(self._all), len(self._all) + len(looked))
            self._all += looked

    def of(self, key: Digest) -> list[Trace]:
        numbers = self._numbers.get(key, range(0))[:KEPT]
        return [Trace(number, self._all[number].chains, self._all[number].result) for number in numbers]

    def parts(self, trace: int, tree: int, tops: Iterable[str] | None = None) -> list[bytes]:
        parts = self._all[trace].observations[tree]
        return [parts[top] for top in (parts if tops is None else tops) if top in parts]

    def looked(self, trace: Trace, chains: Sequence[Chain]) -> Looked:
        """As the store keeps it, of `chains`: read whole, so that nothing damaged comes in."""
        observations = self._all[trace.id].observations
        clean = tuple(split(joined(tree.values())) for tree in observations)
        return Looked(tuple(chains), trace.result, clean)
