"""What a cache says, as JSON: which step gave which layer, and what it looked at (docs/cache-format.md).

All of it comes from outside: whatever is not as it should be is a Corrupt. Nothing here is believed for being
well formed; what follows from it is for `imports.py` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import msgspec

from wherry.base.errors import Corrupt, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor
from wherry.oci.digest import Digest
from wherry.store.records import Result
from wherry.store.traces import Chains

ARTIFACT = "application/vnd.wherry.cache.v1"
RESULTS = "application/vnd.wherry.cache.results.v1+json"
INDEX = "application/vnd.wherry.cache.index.v1+gzip"
INLINE_KEY = "wherry.cache.v1"
"""Under which an image's config has the document."""

_VERSION = 1
_ENDLESS = 1e12
"""Seconds."""
MOST_INLINE = 4 << 20
"""Bytes of a document in an image's config, which registries and engines read whole."""


class Content(NamedTuple):
    """Of a layer: the blob that has it, and the one that has its index; None where it is not carried."""

    blob: Descriptor | None = None
    listing: Descriptor | None = None


class Looked(NamedTuple):
    """A trace: what a step looked at in each of `chains`, in parts (`snapshot/observations.py`), and what it
    gave."""

    chains: Chains
    result: Result
    observations: tuple[Mapping[str, bytes], ...]


class Document(NamedTuple):
    """`records` and `traces` are by the keys that `build/records.py` finds them with."""

    layers: Mapping[Digest, Content]
    records: Mapping[Digest, Result]
    traces: Mapping[Digest, Sequence[Looked]]


class _Blob(TypedDict):
    mediaType: str
    digest: str
    size: int


class _Layer(TypedDict):
    diffID: str
    blob: NotRequired[_Blob]
    index: NotRequired[_Blob]


class _Result(TypedDict):
    """`layer` is the number of one of the layers; without, the step changed nothing."""

    key: str
    layer: NotRequired[int]
    seconds: NotRequired[float]
    made: NotRequired[float]
    networked: NotRequired[bool]


class _Trace(_Result):
    chains: list[list[int]]
    looked: list[list[tuple[bytes, bytes]]]


class _Beginning(TypedDict):
    version: int


class _File(_Beginning):
    layers: list[_Layer]
    records: list[_Result]
    traces: list[_Trace]


def encode(document: Document, most: int = MAX_DOCUMENT) -> tuple[bytes, int]:
    """The bytes, at most `most`, and how many traces had to be left out for that, the largest first."""
    numbers = {diff_id: number for number, diff_id in enumerate(document.layers)}
    rows = [_trace(key, looked, numbers) for key, traces in document.traces.items() for looked in traces]
    file: _File = {
        "version": _VERSION,
        "layers": [_layer(diff_id, content) for diff_id, content in document.layers.items()],
        "records": [_result(key, result, numbers) for key, result in document.records.items()],
        "traces": rows,
    }
    raw = msgspec.json.encode(file)
    left_out = 0
    for row in sorted(rows, key=_size, reverse=True):
        if len(raw) <= most:
            break
        file["traces"].remove(row)
        raw = msgspec.json.encode(file)
        left_out += 1
    return raw, left_out


def decode(raw: bytes) -> Document:
    """The document in `raw`, checked. Unsupported for one of a later version."""
    if len(raw) > MAX_DOCUMENT:
        raise Corrupt(f"its results have {len(raw)} bytes: at most {MAX_DOCUMENT} are read")
    try:
        version = msgspec.json.decode(raw, type=_Beginning)["version"]
        if version != _VERSION:
            raise Unsupported(f"it was written by a version of wherry that is not known here ({version})")
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Corrupt(f"its results are damaged: {str(error)[:200]}") from None
    try:
        return _document(file)
    except (IndexError, WherryError) as error:
        raise Corrupt(f"its results contradict themselves: {str(error)[:200]}") from None


def _document(file: _File) -> Document:
    diff_ids = [digests.parse(layer["diffID"]) for layer in file["layers"]]

    def at(number: int) -> Digest:
        if number < 0:
            raise IndexError(f"no layer {number}")
        return diff_ids[number]

    def result(row: _Result) -> Result:
        layer = at(row["layer"]) if "layer" in row else None
        seconds, made = row.get("seconds", 0.0), row.get("made", 0.0)
        if not (0 <= seconds < _ENDLESS and 0 <= made < _ENDLESS):
            raise Corrupt("a result has no possible time")
        return Result(layer, seconds, made, row.get("networked", False))

    traces: dict[Digest, list[Looked]] = {}
    for row in file["traces"]:
        chains = tuple(tuple(map(at, chain)) for chain in row["chains"])
        if len(chains) != len(row["looked"]):
            raise Corrupt("a trace has not as many observations as chains")
        looked = tuple(
            {top.decode("utf-8", "surrogateescape"): data for top, data in tree} for tree in row["looked"]
        )
        traces.setdefault(digests.parse(row["key"]), []).append(Looked(chains, result(row), looked))
    contents = map(_content, file["layers"])
    records = {digests.parse(row["key"]): result(row) for row in file["records"]}
    return Document(dict(zip(diff_ids, contents, strict=True)), records, traces)


def _content(layer: _Layer) -> Content:
    return Content(_descriptor(layer.get("blob")), _descriptor(layer.get("index")))


def _descriptor(blob: _Blob | None) -> Descriptor | None:
    if blob is None:
        return None
    if blob["size"] < 0:
        raise Corrupt(f"a blob of {blob['size']} bytes")
    return Descriptor(blob["mediaType"], digests.parse(blob["digest"]), blob["size"])


def _layer(diff_id: Digest, content: Content) -> _Layer:
    layer: _Layer = {"diffID": diff_id}
    if content.blob:
        layer["blob"] = _blob(content.blob)
    if content.listing:
        layer["index"] = _blob(content.listing)
    return layer


def _blob(blob: Descriptor) -> _Blob:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _trace(key: Digest, looked: Looked, numbers: Mapping[Digest, int]) -> _Trace:
    chains = [[numbers[diff_id] for diff_id in chain] for chain in looked.chains]
    trees = [
        [(top.encode("utf-8", "surrogateescape"), data) for top, data in sorted(tree.items())]
        for tree in looked.observations
    ]
    row: _Trace = {"key": key, "chains": chains, "looked": trees}
    row.update(_result(key, looked.result, numbers))  # type: ignore[typeddict-item]
    return row


def _result(key: Digest, result: Result, numbers: Mapping[Digest, int]) -> _Result:
    row: _Result = {"key": key}
    if result.layer is not None:
        row["layer"] = numbers[result.layer]
    if result.seconds:
        row["seconds"] = round(result.seconds, 3)
    if result.made:
        row["made"] = round(result.made, 3)
    if result.networked:
        row["networked"] = True
    return row


def _size(row: _Trace) -> int:
    return sum(len(data) for tree in row["looked"] for _, data in tree)
