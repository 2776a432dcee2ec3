"""An image's root file system in a tar: its layers merged, as plain files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from wherry.base.errors import Corrupt, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, Entry
from wherry.layer.header import END, header, padding
from wherry.layer.layers import Layers
from wherry.layer.pipe import BLOCK
from wherry.output.result import Result
from wherry.output.tarball import Writable
from wherry.snapshot.kept import Vanished
from wherry.snapshot.linked import linked
from wherry.snapshot.view import Found, View
from wherry.store.store import Store


class Placed(NamedTuple):
    """A root file system, and the folder that it is to have in an output; "" for the output itself."""

    view: View
    folder: str = ""


def placed(store: Store, result: Result, split: bool | None = None) -> list[Placed]:
    """The root file systems of a result. `split`: each in a folder of its own, called `linux_arm64`; None:
    where there may be several."""
    layers = Layers(store)
    has_folders = result.is_index if split is None else split
    return [
        Placed(
            View(layers, store.images.get(part.image).config.diff_ids),
            str(part.platform).replace("/", "_") if has_folders else "",
        )
        for part in result.parts
    ]


def write_tar(trees: Sequence[Placed], sink: Writable) -> None:
    """Everything with its owner, mode, times and attributes; the root folder itself is left out, and what
    vanishes while it is read."""
    # From this thread, unlike a layer's stream: whoever waits for a reader can be interrupted.
    parts: list[bytes] = []
    size = 0
    for part in _parts(trees):
        parts.append(part)
        size += len(part)
        if size >= BLOCK:
            sink.write(b"".join(parts))
            parts, size = [], 0
    sink.write(b"".join(parts))


def _parts(trees: Sequence[Placed]) -> Iterator[bytes]:
    vanished: set[str] = set()
    for tree, found, entry in entries(trees):
        if entry.kind == HARDLINK and entry.link in vanished:
            entry = found.entry._replace(path=entry.path)
        if entry.kind != FILE:
            yield header(entry)
            continue
        try:
            content = tree.view.open(found)
        except Vanished:
            vanished.add(entry.path)
            continue
        with content:
            yield header(entry)
            yield from _content(entry, content)
        yield padding(entry.size)
    yield END


def _content(entry: Entry, content: BinaryIO) -> Iterator[bytes]:
    left = entry.size
    while left:
        data = content.read(min(left, BLOCK))
        if not data:
            raise Corrupt(f"{entry.path!r} has {entry.size - left} bytes, not {entry.size}")
        yield data
        left -= len(data)


def entries(trees: Sequence[Placed]) -> Iterator[tuple[Placed, Found, Entry]]:
    """All entries of an output, parents first, with where their content is.

    A path that several trees have is a folder in all of them, or WherryError.
    """
    seen: dict[str, str] = {}
    for tree in trees:
        if tree.folder:
            root = tree.view.lookup("")
            assert root is not None
            yield tree, root, Entry(tree.folder, DIRECTORY, root.entry.mode, mtime=root.entry.mtime)
        for found, entry in linked(found for found in tree.view.walk() if found.entry.path):
            if tree.folder:
                entry = _beneath(tree.folder, entry)
            if len(trees) > 1 and not tree.folder:
                if entry.path in seen and {entry.kind, seen[entry.path]} != {DIRECTORY}:
                    raise WherryError(
                        f"/{entry.path} is in the images of several platforms: one would overwrite the other",
                        hint="leave platform-split=false out",
                    )
                seen[entry.path] = entry.kind
            yield tree, found, entry


def _beneath(folder: str, entry: Entry) -> Entry:
    link = f"{folder}/{entry.link}" if entry.kind == HARDLINK else entry.link
    return entry._replace(path=f"{folder}/{entry.path}", link=link)
