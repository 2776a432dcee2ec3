"""Layers made up for properties of views: values, no store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from hypothesis import strategies as st

from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.writer import Layer
from wherry.oci import digest as digests
from wherry.oci.digest import Digest

NAMES = ("a", "b", "c")
KINDS = (FILE, FILE, DIRECTORY, SYMLINK, WHITEOUT, OPAQUE, HARDLINK)
TARGETS = ("a", "/b", "../c", "/a/b", "..", "/", "b/a", "/c/c/c")


class Stack:
    """Indexes by diff ID, as views ask for them."""

    def __init__(self) -> None:
        self._layers: dict[Digest, Layer] = {}

    def add(self, entries: list[Entry], implied: Sequence[str] = ()) -> Digest:
        diff_id = digests.of(repr((entries, implied)).encode())
        self._layers[diff_id] = Layer(diff_id, 0, tuple(entries), tuple(implied))
        return diff_id

    def index(self, diff_id: Digest) -> Layer:
        return self._layers[diff_id]

    def open_file(self, diff_id: Digest, entry: Entry) -> BinaryIO:
        raise NotImplementedError


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
drawn = st.dictionaries(
    paths,
    st.tuples(
        st.sampled_from(KINDS), st.sampled_from((0o644, 0o755)), st.integers(0, 2), st.sampled_from(TARGETS)
    ),
    max_size=6,
)


def layer(items: Mapping[str, tuple[str, int, int, str]]) -> list[Entry]:
    """The entries of a layer as an index has them: parents before what is in them, nothing below a file."""
    found: dict[str, Entry] = {}
    marks: list[Entry] = []
    for path, (kind, mode, content, target) in sorted(items.items()):
        folder = path.rpartition("/")[0]
        if any(
            above in found and found[above].kind != DIRECTORY for above in (folder, folder.rpartition("/")[0])
        ):
            continue
        for above in (folder.rpartition("/")[0], folder):
            if above:
                found.setdefault(above, Entry(above, DIRECTORY, 0o755))
        first = next((name for name, entry in found.items() if entry.kind == FILE), "")
        if kind == WHITEOUT:
            marks.append(Entry(path, WHITEOUT))
        elif kind == OPAQUE:
            found[path] = Entry(path, DIRECTORY, mode)
            marks.append(Entry(path, OPAQUE))
        elif kind == DIRECTORY:
            found[path] = Entry(path, DIRECTORY, mode)
        elif kind == SYMLINK:
            found[path] = Entry(path, SYMLINK, 0o777, link=target)
        elif kind == HARDLINK and first:
            found[path] = found[first]._replace(path=path, kind=HARDLINK, link=first, digest=b"")
        else:
            digest = hashlib.sha256(bytes([content])).digest()
            found[path] = Entry(path, FILE, mode, size=content, digest=digest)
    whiteouts = [mark for mark in marks if mark.kind == OPAQUE or mark.path not in found]
    return sorted((*found.values(), *whiteouts), key=lambda entry: entry.path)
