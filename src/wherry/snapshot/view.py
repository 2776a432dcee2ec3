"""What a stack of layers looks like from above, by their indexes alone: nothing is mounted or extracted.

The rules are overlay's (kernel documentation, overlayfs.rst) and the OCI image-spec's (layer.md): the
highest layer that says something of a path decides what it is; folders of several layers merge, down to the
first whiteout, opaque folder or other kind of file; the highest folder's mode and owner count. A folder that
a layer only implies is as the layers below have it: their streams are meant to be unpacked onto each other.

Paths are relative to the root, as in `Entry`; a leading or trailing slash does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer import links
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.oci.digest import Digest
from wherry.snapshot.names import Contents, LayerNames, NameCache


class Found(NamedTuple):
    """What is at a path. `entry.path` is that path, and `entry` never a hard link: it has the shared file's
    kind and content."""

    entry: Entry
    diff_id: Digest
    """The layer that has it; "" for the root folder of an image without layers."""


class View:
    """The merged tree of `diff_ids`, lowest layer first. Values: it never changes once made.

    `cache` shares the layers' names between the views of one command.
    """

    def __init__(self, layers: Contents, diff_ids: Sequence[Digest], cache: NameCache | None = None) -> None:
        self.layers = layers
        self.diff_ids = tuple(diff_ids)
        self.cache = cache or NameCache(layers)
        self._folders: dict[str, tuple[LayerNames, ...]] = {}

    def lookup(self, path: str) -> Found | None:
        """What is at `path`, no symbolic link followed on the way or at its end; None if there is nothing."""
        path = path.strip("/")
        if not path:
            return self._root()
        implied = None
        for layer in self._folder(path.rpartition("/")[0]):
            entry = layer.lookup(path)
            if entry is not None:
                found = Found(entry, layer.diff_id)
                if implied and entry.kind != DIRECTORY:
                    return implied
                if path not in layer.implied:
                    return found
                implied = implied or found
            elif path in layer.removed:
                return implied
        return implied

    def implied(self) -> list[str]:
        """Folders, parents first, whose highest layer has them without saying what they are like.

        `lookup` gives them as the layers below have them, which the trees on disk do not show.
        """
        paths = set().union(*(self.cache.of(diff_id).implied for diff_id in self.diff_ids))
        return sorted(path for path in paths if self._is_implied(path))

    def _is_implied(self, path: str) -> bool:
        for layer in self._folder(path.rpartition("/")[0]):
            if path in layer.entries:
                return path in layer.implied
            if path in layer.removed:
                return False
        return False

    def get(self, path: str) -> Found | None:
        """What is at `path`, symbolic links followed inside the root."""
        return self.lookup(self.resolve(path))

    def exists(self, path: str) -> bool:
        return self.get(path) is not None

    def resolve(self, path: str, follow_last: bool = True) -> str:
        """`path` without symbolic links and dots; see `links.resolve`."""
        return links.resolve("/" + path.strip("/"), self._entry, "the image", follow_last=follow_last)

    def _entry(self, path: str) -> Entry | None:
        found = self.lookup(path)
        return found.entry if found else None

    def children(self, path: str) -> list[str]:
        """The names in the folder `path`, sorted; none where it is no folder. No link is followed."""
        path = path.strip("/")
        visible: set[str] = set()
        hidden: set[str] = set()
        for layer in self._folder(path):
            visible.update(name for name in layer.names.get(path, ()) if name not in hidden)
            hidden.update(layer.removed_names.get(path, ()))
        return sorted(visible)

    def walk(self, path: str = "") -> Iterator[Found]:
        """`path` itself and all below it, parents first, each folder's names sorted. No link is followed."""
        pending = [path.strip("/")]
        while pending:
            path = pending.pop()
            found = self.lookup(path)
            if found is None:
                continue
            yield found
            if found.entry.kind == DIRECTORY:
                prefix = f"{path}/" if path else ""
                pending.extend(prefix + name for name in reversed(self.children(path)))

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        """The content of the file at `path`, links followed, of at most `limit` bytes.

        NotFound where there is no regular file, WherryError where it is larger.
        """
        found = self.get(path)
        if found is None or found.entry.kind != FILE:
            raise NotFound(f"the image has no file /{path.strip('/')}")
        if found.entry.size > limit:
            raise WherryError(f"/{path.strip('/')} of the image is larger than {limit:,} bytes")
        with self.open(found) as file:
            return file.read(limit)

    def read_if_there(self, path: str, limit: int = 1 << 20) -> bytes:
        """As `read`; nothing where there is no such file."""
        try:
            return self.read(path, limit)
        except NotFound:
            return b""

    def open(self, found: Found) -> BinaryIO:
        """The content of a regular file of this view."""
        return self.layers.open_file(found.diff_id, found.entry)

    def _root(self) -> Found:
        for layer in self._folder(""):
            if "" in layer.entries:
                return Found(layer.entries[""], layer.diff_id)
        return Found(Entry("", DIRECTORY, 0o755), self.diff_ids[0] if self.diff_ids else Digest(""))

    def _folder(self, path: str) -> tuple[LayerNames, ...]:
        """The layers whose folder `path` is to be seen, highest first; none where it is no folder.

        Not recursive: a path may have 2,000 parts.
        """
        known = path
        while known and known not in self._folders:
            known = known.rpartition("/")[0]
        layers = self._folders.get(known)
        if layers is None:
            layers = self._folders[known] = tuple(self._layers_of_root())
        while known != path:
            end = path.find("/", len(known) + 1)
            known = path[:end] if end > 0 else path
            layers = self._folders[known] = tuple(_merging(layers, known))
        return layers

    def _layers_of_root(self) -> Iterator[LayerNames]:
        for diff_id in reversed(self.diff_ids):
            layer = self.cache.of(diff_id)
            yield layer
            if "" in layer.hiding:
                return


def _merging(above: Sequence[LayerNames], path: str) -> Iterator[LayerNames]:
    """Those of `above`, the layers of its parent, whose folder `path` is to be seen."""
    for layer in above:
        entry = layer.entries.get(path)
        if entry is not None:
            if entry.kind != DIRECTORY:
                return
            yield layer
        if path in layer.hiding:
            return
