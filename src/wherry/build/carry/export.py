"""`--cache-to`: the results of a build for other machines, with their layers and what was looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec

from wherry.base.errors import NotFound, WherryError
from wherry.base.events import Emit, Note, Transfer, vertex
from wherry.build.carry import document as documents
from wherry.build.carry import indexes
from wherry.build.carry.collect import collect
from wherry.build.carry.destination import Destination, destination
from wherry.build.carry.document import Content, Document
from wherry.build.carry.imports import Imports
from wherry.build.carry.spec import Target
from wherry.build.plan import Plan
from wherry.build.records import Recorder
from wherry.build.solve import Outcome
from wherry.layer.compress import accepted_types
from wherry.layer.layers import Layers
from wherry.layer.packing import packed
from wherry.oci import digest as digests
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor, make_manifest
from wherry.oci.digest import Digest
from wherry.registry.parallel import Stop, each
from wherry.store.records import Result
from wherry.store.store import Store

_TRANSFERS = 4


class Exports:
    """What `targets` are to get of a build whose steps are done."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        outcomes: Sequence[Outcome],
        recorder: Recorder,
        targets: Sequence[Target],
        emit: Emit,
    ) -> None:
        self._store = store
        self._plan = plan
        self._outcomes = outcomes
        self._recorder = recorder
        self._targets = targets
        self._emit = emit

    def inlined(self, config: ImageConfig) -> ImageConfig:
        """The image's config, with the cache in it if a target asks for that. Times are left out where nobody
        needs them: they are other ones in each build."""
        if all(target.place for target in self._targets):
            return config
        document = self._document(whole=False)
        untimed = Document(
            document.layers,
            {key: _untimed(result) for key, result in document.records.items()},
            {
                key: [looked._replace(result=_untimed(looked.result)) for looked in traces]
                for key, traces in document.traces.items()
            },
        )
        raw, left_out = documents.encode(untimed, documents.MOST_INLINE)
        _tell(left_out, self._emit)
        return config._replace(other=(*config.other, (documents.INLINE_KEY, msgspec.json.decode(raw))))

    def write(self) -> None:
        """Write the cache to the targets that have a place. WherryError where that fails, unless the target
        says that it may: then it is a warning."""
        placed = [target for target in self._targets if target.place]
        for number, target in enumerate(placed, len(self._plan.steps) + 2):
            try:
                self._write(target, number)
            except WherryError as error:
                error.message = f"the cache was not written: {error.message}"
                if not target.may_fail:
                    raise
                self._emit(Note("warning", error.message))

    def _write(self, target: Target, number: int) -> None:
        assert target.place is not None
        document = self._document(target.whole)
        carried = [result.layer for result in document.records.values() if result.layer]
        with (
            vertex(self._emit, number, f"exporting cache to {target.place}"),
            destination(self._store, target.place, carried) as place,
        ):
            outgoing = _Outgoing(self._store, self._recorder.imports, place, target, self._emit, number)
            outgoing.write(document, list(dict.fromkeys(carried)))

    def _document(self, whole: bool) -> Document:
        return collect(self._store, self._recorder, self._plan, self._outcomes, whole)


class _Outgoing:
    """Blobs go out several at a time, the manifest that names them last."""

    def __init__(
        self,
        store: Store,
        imports: Imports | None,
        place: Destination,
        target: Target,
        emit: Emit,
        number: int,
    ) -> None:
        self._store = store
        self._imports = imports
        self._place = place
        self._target = target
        self._emit = emit
        self._number = number
        self._layers = Layers(store)
        self._contents: dict[Digest, Content] = {}

    def write(self, document: Document, carried: Sequence[Digest]) -> None:
        """`carried` are the layers that go out; of all others only their indexes do."""
        self._contents = dict.fromkeys(document.layers, Content())
        there = set(filter(self._is_there, carried))
        each(self._send_layer, [layer for layer in carried if layer not in there], _TRANSFERS)
        each(self._send_index, [layer for layer in document.layers if layer not in there], _TRANSFERS)
        raw, left_out = documents.encode(document._replace(layers=self._contents))
        _tell(left_out, self._emit)
        results = self._put(documents.RESULTS, raw)
        contents = self._contents.values()
        blobs = (*(content.blob for content in contents), *(content.listing for content in contents))
        named = dict.fromkeys(blob for blob in blobs if blob)
        self._place.name(make_manifest(results, tuple(named), artifact=documents.ARTIFACT))

    def _is_there(self, diff_id: Digest) -> bool:
        """Whether the layer is not here but where it is to go: it came from there, and nobody fetched it."""
        if self._imports is None or self._layers.has(diff_id):
            return False
        content = self._imports.content(diff_id)
        if content.blob is None or content.listing is None or not self._is_packed_so(content.blob):
            return False
        if not (self._place.has(content.blob) and self._place.has(content.listing)):
            return False
        self._contents[diff_id] = content
        return True

    def _is_packed_so(self, blob: Descriptor) -> bool:
        chosen = self._target.compression
        return not chosen or blob.media_type in accepted_types(chosen)

    def _send_layer(self, diff_id: Digest, stop: Stop) -> None:
        stop.check()
        if self._imports is not None and not self._imports.bring(diff_id):
            return  # its cache has been lost meanwhile, and told about
        chosen, level = self._target.compression, self._target.level
        if chosen:
            blob = self._layers.compressed(diff_id, chosen, level)
        else:
            blob = packed(self._store, self._layers, diff_id)
        stop.check()
        self._place.put(blob, lambda: self._store.blobs.open(blob.digest), diff_id)
        self._contents[diff_id] = self._contents[diff_id]._replace(blob=blob)
        self._emit(Transfer(self._number, digests.short(diff_id), blob.size, blob.size))

    def _send_index(self, diff_id: Digest, stop: Stop) -> None:
        stop.check()
        try:
            data = indexes.pack(self._layers.index(diff_id))
        except NotFound:
            # Of a stage whose files were not needed; its cache may lie where this one goes.
            listing = self._imports.content(diff_id).listing if self._imports else None
            if listing and self._place.has(listing):
                self._contents[diff_id] = Content(listing=listing)
            return
        if data is not None:
            listing = self._put(documents.INDEX, data)
            self._contents[diff_id] = self._contents[diff_id]._replace(listing=listing)

    def _put(self, media_type: str, data: bytes) -> Descriptor:
        blob = Descriptor(media_type, digests.of(data), len(data))
        self._place.put(blob, lambda: io.BytesIO(data))
        return blob


def _untimed(result: Result) -> Result:
    return result._replace(seconds=0.0, made=result.made if result.networked else 0.0)


def _tell(left_out: int, emit: Emit) -> None:
    if left_out:
        what = "step has" if left_out == 1 else "steps have"
        text = f"what {left_out} {what} looked at is too long for the cache: those hold exactly alone"
        emit(Note("warning", text))
