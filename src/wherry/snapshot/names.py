"""One layer's entries by path, for looking up a stack of layers and for comparing two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import BinaryIO, Protocol

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import DIRECTORY, HARDLINK, OPAQUE, WHITEOUT, Entry
from wherry.layer.writer import Layer
from wherry.oci.digest import Digest

_TIME = Entry._fields.index("mtime")
_PLACE = Entry._fields.index("offset")


class Told(NamedTuple):
    """A path of which two layers say different things.

    With `hides`, one of these is about all below it: it is a whiteout, an opaque folder or no folder.
    """

    path: str
    hides: bool


class LayerNames:
    """What one layer says of each path: it is here, it is removed, or nothing.

    Relies on what every index has: the folders above each entry, and links that name a file of the layer.
    """

    def __init__(self, layer: Layer) -> None:
        self.diff_id = layer.diff_id
        self.implied = frozenset(layer.implied)
        """Folders of which only their names, and what is in them, are the layer's: see `Layer.implied`."""
        self.entries: dict[str, Entry] = {}
        """All that is in the layer, whiteouts left out."""
        self.removed: set[str] = set()
        self.hiding: set[str] = set()
        """Paths below which nothing of lower layers is to be seen. With a folder in `entries`, a whiteout
        means a new folder: it is about lower layers alone (OCI image-spec, layer.md, "Whiteouts")."""
        for entry in layer.entries:
            kind = entry.kind
            if kind == WHITEOUT:
                self.removed.add(entry.path)
                self.hiding.add(entry.path)
            elif kind == OPAQUE:
                self.hiding.add(entry.path)
            else:
                self.entries[entry.path] = entry

    def lookup(self, path: str) -> Entry | None:
        """The entry at `path`; for a hard link the file it shares, under the link's own path."""
        entry = self.entries.get(path)
        if entry is not None and entry.kind == HARDLINK:
            entry = self.entries.get(entry.link)
            return None if entry is None else entry._replace(path=path)
        return entry

    def hides(self, path: str) -> bool:
        """Whether below `path` nothing of lower layers is to be seen: a folder shows what lies below it."""
        entry = self.entries.get(path)
        return path in self.hiding or (entry is not None and entry.kind != DIRECTORY)

    @cached_property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """All names of each file that has several in the layer, by each of them."""
        groups: dict[str, list[str]] = {}
        for path, entry in self.entries.items():
            if entry.kind == HARDLINK:
                groups.setdefault(entry.link, [entry.link]).append(path)
        return {name: names for names in map(_sorted, groups.values()) for name in names}

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The names that the layer has in each of its folders, in no order."""
        return _by_folder(self.entries)

    @cached_property
    def removed_names(self) -> dict[str, list[str]]:
        """The names that the layer removes from each folder, in no order."""
        return _by_folder(self.removed)


def _unequal(one: LayerNames, other: LayerNames) -> Iterator[str]:
    """The paths of which the two layers say different things. A time is none, nor a place in a stream."""
    yield from one.hiding ^ other.hiding  # what is removed is among it
    yield from one.implied ^ other.implied
    yield from one.entries.keys() ^ other.entries.keys()
    for path, entry in one.entries.items():
        twin = other.entries.get(path)
        if twin is not None and not _equal(entry, twin):
            yield path
    # A name of a file that has several is told by the others too.
    for path in one.shared.keys() | other.shared.keys():
        if not _equal_names(one, other, path):
            yield path


def _equal(entry: Entry, twin: Entry) -> bool:
    return entry == twin or (
        entry[:_TIME] == twin[:_TIME] and entry[_TIME + 1 : _PLACE] == twin[_TIME + 1 : _PLACE]
    )


def _equal_names(one: LayerNames, other: LayerNames, path: str) -> bool:
    entry, twin = one.lookup(path), other.lookup(path)
    if entry is None or twin is None:
        return entry is twin
    return _equal(entry, twin) and one.shared.get(path) == other.shared.get(path)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in paths:
        if path:
            folder, _, name = path.rpartition("/")
            names.setdefault(folder, []).append(name)
    return names


_NOTHING = LayerNames(Layer(Digest(""), 0, ()))


class Contents(Protocol):
    """What a view asks of `layer.layers.Layers`."""

    def index(self, diff_id: Digest) -> Layer: ...

    def open_file(self, diff_id: Digest, entry: Entry) -> BinaryIO: ...


class NameCache:
    """The names of the layers that a command has looked at so far; for as many threads as like."""

    def __init__(self, layers: Contents) -> None:
        self._layers = layers
        self._known: dict[Digest, LayerNames] = {}
        self._told: dict[tuple[Digest | None, Digest | None], tuple[Told, ...]] = {}

    def told(self, one: Digest | None, other: Digest | None) -> tuple[Told, ...]:
        """What two layers say differently, None for one that says nothing; a path may come several times."""
        told = self._told.get((one, other))
        if told is None:
            layers = [_NOTHING if diff_id is None else self.of(diff_id) for diff_id in (one, other)]
            told = tuple(Told(path, any(layer.hides(path) for layer in layers)) for path in _unequal(*layers))
            self._told[one, other] = told
        return told

    @property
    def size(self) -> int:
        """The number of entries of all layers that were read so far."""
        return sum(len(names.entries) for names in list(self._known.values()))  # others may add to it

    def of(self, diff_id: Digest) -> LayerNames:
        names = self._known.get(diff_id)
        if names is None:
            # Two threads may read the same index at once: both get the same names, one of them stays.
            names = LayerNames(self._layers.index(diff_id))
            self._known[diff_id] = names
        return names
