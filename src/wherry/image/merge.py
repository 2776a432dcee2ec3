"""Several layers of an image as one that makes the same of the layers below them.

It is made from the view of the whole image, so every rule of whiteouts, opaque folders and kinds is the
view's. What is hidden of the layers below stands as a whiteout for each name, in folders that both have: on
these all who read layers agree, which of opaque folders is not so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from wherry.layer.entry import DIRECTORY, FILE, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci.digest import Digest
from wherry.snapshot.linked import linked
from wherry.snapshot.view import Found, View


def merged(layers: Layers, chain: Sequence[Digest], kept: int) -> Layer | None:
    """The layers above the lowest `kept` ones of `chain` as one; None where they come to nothing."""
    view = View(layers, chain)
    items = list(_items(view, View(layers, chain[:kept], view.cache), frozenset(chain[kept:])))
    return layers.add_tar(partial(_write, view, items)) if items else None


def _items(view: View, below: View, own: frozenset[Digest]) -> Iterator[Found]:
    """What the layer has, whiteouts among it, parents first. Folders of the layers below come along as they
    are where something in them changes."""
    way: list[Found] = []
    for found in view.walk():
        path = found.entry.path
        while way and not path.startswith(f"{way[-1].entry.path}/"):
            way.pop()
        is_own = found.diff_id in own if path else _has_root(view, own)
        gone = list(_gone(found.entry, view, below))
        if is_own or gone:
            yield from way
            way.clear()
            if path or is_own:
                yield found
            yield from gone
        elif path and found.entry.kind == DIRECTORY:
            way.append(found)


def _has_root(view: View, own: frozenset[Digest]) -> bool:
    """Few layers speak of the root folder itself."""
    return any("" in view.cache.of(diff_id).entries for diff_id in own)


def _gone(folder: Entry, view: View, below: View) -> Iterator[Found]:
    """Whiteouts for the names that a folder has below, and not in the view."""
    path = folder.path
    if folder.kind == DIRECTORY:  # what is no folder below has no names
        for name in sorted(set(below.children(path)) - set(view.children(path))):
            yield Found(Entry(f"{path}/{name}" if path else name, WHITEOUT), Digest(""))


def _write(view: View, items: Sequence[Found], writer: LayerWriter) -> None:
    for found, entry in linked(items):
        if entry.kind == FILE:
            with view.open(found) as content:
                writer.add(entry._replace(digest=b"", offset=-1), content)
        else:
            writer.add(entry)
