"""Descriptors, manifests and indexes: the parsed form beside the raw bytes whose digest is their name.

OCI image-spec, descriptor.md, manifest.md, image-index.md; docker's schema 2 has the same fields.
Every document comes from outside: a field of the wrong type is a `Corrupt`, never a traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wherry.base.errors import Corrupt, Unsupported
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform

if TYPE_CHECKING:
    from typing import Protocol

    class Named(Protocol):
        """A document that has a name: a manifest or an index, parsed or not."""

        @property
        def raw(self) -> bytes: ...
        @property
        def media_type(self) -> str: ...
        @property
        def digest(self) -> Digest: ...


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_TYPE = 255
"""RFC 6838, 4.2: twice 127 characters and a slash."""
MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes that a manifest, an index or a config may have."""


class Descriptor(NamedTuple):
    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    urls: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """Whether it is a layer that lies at its URLs, and that may not be passed on."""
        return self.media_type in media.FOREIGN and bool(self.urls)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform:
            document["platform"] = self.platform.to_json()
        return document


def describe(
    document: Named, annotations: tuple[tuple[str, str], ...] = (), platform: Platform | None = None
) -> Descriptor:
    """What an index or a layout says of a document that it names."""
    return Descriptor(document.media_type, document.digest, len(document.raw), annotations, platform)


class Manifest(NamedTuple):
    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> Digest:
        return digests.of(self.raw)


class Index(NamedTuple):
    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> Digest:
        return digests.of(self.raw)


def make_manifest(
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    annotations: Mapping[str, str] | None = None,
    artifact: str = "",
    media_type: str = media.MANIFEST,
) -> Manifest:
    """A new manifest; its bytes depend on nothing but the arguments. `artifact` is the type of what is no
    image."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        **({"artifactType": artifact} if artifact else {}),
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    pairs = tuple(sorted((annotations or {}).items()))
    return Manifest(encode(document), media_type, config, layers, pairs)


def make_index(
    manifests: tuple[Descriptor, ...],
    annotations: Mapping[str, str] | None = None,
    media_type: str = media.INDEX,
) -> Index:
    """A new index; its bytes depend on nothing but the arguments."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [manifest.to_json() for manifest in manifests],
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return Index(encode(document), media_type, manifests, tuple(sorted((annotations or {}).items())))


def parse(raw: bytes, media_type: str = "") -> Manifest | Index:
    """The document in `raw`; `media_type` is what its transport said, used where the document is silent.

    Corrupt for one that another reader could take for the other kind: what was checked as one thing would run
    as another (CVE-2021-41190).
    """
    document = decode(raw)
    kind = document.get("mediaType") or media_type
    if not isinstance(kind, str):
        raise Corrupt("a manifest's mediaType is not a string")
    if kind in (media.DOCKER_SCHEMA1, media.DOCKER_SCHEMA1_SIGNED) or document.get("schemaVersion") == 1:
        raise Unsupported(
            "the image has a manifest of docker's schema 1, which was retired in 2019",
            hint="ask its owner to push it again with a current tool",
        )
    is_index = kind in media.INDEXES or (kind not in media.MANIFESTS and "manifests" in document)
    if any(key in document for key in (("config", "layers") if is_index else ("manifests",))):
        raise Corrupt("a document that is both an image manifest and an image index")
    if is_index:
        manifests = tuple(_descriptor(item) for item in _list(document, "manifests"))
        return Index(raw, kind or media.INDEX, manifests, _pairs(document))
    if kind in media.MANIFESTS or "config" in document:
        layers = tuple(_descriptor(item) for item in _list(document, "layers"))
        config = _descriptor(document.get("config"))
        return Manifest(raw, kind or media.MANIFEST, config, layers, _pairs(document))
    raise Unsupported(f"not an image manifest or an image index: media type {kind!r}")


def encode(document: object) -> bytes:
    """JSON as wherry writes it: compact, in the order given, UTF-8."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def decode(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_DOCUMENT:
        raise Corrupt(f"a JSON document of {len(raw)} bytes: more than {MAX_DOCUMENT} are not read")
    try:
        document = json.loads(raw.decode())
        if _SURROGATE.search(raw):
            # Half of a pair is no character (RFC 8259, 8.2): it could not be written anywhere.
            encode(document)
    except UnicodeError:
        raise Corrupt("not a JSON document: it is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not a JSON document: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise Corrupt("not a JSON object")
    return document


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise Corrupt("a descriptor is missing or is not an object")
    size, text, kind = value.get("size"), value.get("digest"), value.get("mediaType", "")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise Corrupt(f"a descriptor's size is {json.dumps(size)[:50]}")
    if not isinstance(text, str) or not isinstance(kind, str):
        raise Corrupt("a descriptor without digest or media type")
    if len(kind) > _LONGEST_TYPE or not kind.isprintable():
        raise Corrupt("a descriptor's media type is none")
    urls = value.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise Corrupt("a descriptor's urls are not a list of strings")
    return Descriptor(
        kind, digests.parse(text), size, _pairs(value), _platform(value.get("platform")), tuple(urls)
    )


def _platform(value: object) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Corrupt("a platform is not an object")
    return platforms.from_json(value)


def _list(document: dict[str, Any], key: str) -> list[object]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise Corrupt(f"a manifest's {key!r} is not a list")
    return value


def _pairs(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    value = document.get("annotations") or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Corrupt("annotations are not an object of strings")
    return tuple(value.items())
