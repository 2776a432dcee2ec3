"""What is in an image, as plain values to compare."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

from wherry.layer.entry import FILE
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.view import View
from wherry.store.store import Store

_WHOLE = 4096
"""Bytes of a file that is worth comparing by eye."""


class Node(NamedTuple):
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    content: str = ""
    """A file's text, a large one's digest, or a link's target."""


def tree(store: Store, image: str | Digest) -> dict[str, Node]:
    """Every path of an image but the root itself."""
    config = store.images.find(image).config
    view = View(Layers(store), config.diff_ids)
    nodes = {}
    for found in view.walk():
        entry = found.entry
        content = entry.link
        if entry.kind == FILE and entry.size > _WHOLE:
            content = entry.digest.hex()
        elif entry.kind == FILE:
            with view.open(found) as file:
                content = file.read(entry.size).decode(errors="replace")
        nodes[entry.path] = Node(entry.kind, entry.mode, entry.uid, entry.gid, content)
    nodes.pop("", None)
    return nodes


def contents(root: str | PathLike[str], image: str) -> dict[str, str]:
    """The files of an image in the store `root`, with their contents."""
    with Store.open(str(root)) as store:
        return {path: node.content for path, node in tree(store, image).items()}
