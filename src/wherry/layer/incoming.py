"""A layer on its way into the store: read once, from a blob that may still be arriving."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from wherry.layer.apply import extract, read_index_of
from wherry.layer.compress import decompressed_pieces
from wherry.layer.forms import current_form
from wherry.layer.source import limits
from wherry.layer.streams import keeps_promise
from wherry.layer.writer import Layer
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

if TYPE_CHECKING:
    from wherry.layer.layers import Layers


class Incoming:
    """See `Layers.incoming`. One thread may `read` while another one receives the blob."""

    def __init__(self, layers: Layers, diff_id: Digest, trees: str = "") -> None:
        self._layers = layers
        self._diff_id = diff_id
        self._trees = trees
        self._tree = ""
        self._form = current_form()
        self._layer: Layer | None = None

    def read(self, blob: BinaryIO) -> None:
        """Read the blob, compressed or not, to its end; Corrupt where it does not carry the layer."""
        with decompressed_pieces(blob) as stream:
            if self._trees:
                self._tree = f"{self._trees}/{os.urandom(6).hex()}"
                layer = extract(stream, self._tree, self._form, limits())
            else:
                layer = read_index_of(stream, limits())
        keeps_promise(self._diff_id, layer.diff_id)
        self._layer = layer

    def enter(self, blob: Descriptor) -> None:
        """The blob that was read is in the store by now."""
        assert self._layer is not None
        if self._tree:
            self._layers.take_tree(self._tree, self._layer, self._form)
        self._layers.enter(blob, self._layer)
