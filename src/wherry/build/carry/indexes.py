"""Layers' indexes as blobs of their own: what a layer has is told without the layer (`layer/index.py`).

Times and places in the layer's stream are left out, so that the same layer has the same blob everywhere.
"""

from __future__ import annotations

import io

from wherry.base.errors import Corrupt
from wherry.layer.compress import GZIP, Compressing, decompressed
from wherry.layer.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
)
from wherry.layer.index import decode, encode
from wherry.layer.source import limits
from wherry.layer.writer import Layer
from wherry.oci.digest import Digest

MOST = 64 << 20
"""Bytes of an index, uncompressed: about half a million files."""
_KINDS = frozenset((BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT))
_DOTS = ("", ".", "..")


def pack(layer: Layer) -> bytes | None:
    """The blob; None for an index that nobody would read, as it is too long."""
    plain = encode(
        layer._replace(entries=tuple(entry._replace(mtime=0, offset=-1) for entry in layer.entries))
    )
    if len(plain) > MOST or len(layer.entries) > limits().entries:
        return None
    packed = bytearray()
    with Compressing(packed.extend, GZIP) as compressing:
        compressing.write(plain)
        compressing.finish()
    return bytes(packed)


def unpack(data: bytes, diff_id: Digest) -> Layer:
    """What a blob says that the layer has. Corrupt for what no index says; if it is true is not known."""
    with decompressed(io.BytesIO(data)) as stream:
        plain = stream.read(MOST + 1)
    if len(plain) > MOST:
        raise Corrupt(f"a layer's index has more than {MOST} bytes")
    try:
        layer = decode(plain)
    except (ValueError, IndexError, TypeError) as error:
        raise Corrupt(f"not a layer's index: {error}") from None
    if layer.diff_id != diff_id:
        raise Corrupt(f"the index of another layer: {layer.diff_id}")
    _check(layer)
    return layer


def _check(layer: Layer) -> None:
    """What `snapshot/names.py` relies on: plain paths, each below a folder that is there as well."""
    if len(layer.entries) > limits().entries:
        raise Corrupt(f"a layer's index has more than {limits().entries} entries")
    folders = {"", *(entry.path for entry in layer.entries if entry.kind == DIRECTORY)}
    for entry in layer.entries:
        folder, _, name = entry.path.rpartition("/")
        if entry.kind not in _KINDS or (entry.path and (name in _DOTS or folder not in folders)):
            raise Corrupt(f"a layer's index has an entry that no layer has: {entry.path[:200]!r}")
