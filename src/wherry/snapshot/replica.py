"""A root filesystem as an ordinary folder, made by copying from layers' trees.

It remembers what it holds and how each file looked when it was put there (`signature.py`), so that what a
step changed can be found (`harvest.py`), and so that it can be made to show another image by changing only
what differs: the steps of a stage go on with one tree.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from wherry.base.tuples import NamedTuple
from wherry.layer.clone import clone
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.folders import Folders
from wherry.layer.layers import Layers
from wherry.layer.making import CREATE, finish_file, make_node, make_symlink
from wherry.oci.digest import Digest
from wherry.snapshot import attributes
from wherry.snapshot.signature import Signature, await_tick, birth, shows_mapped_writes, signature
from wherry.snapshot.stub import Stub
from wherry.snapshot.view import View

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

_INHERITED = "system.posix_acl_default"
"""What is made in a folder gets its access list from there."""

Shared = tuple[Digest, str]
"""A file of several names: the layer that has it, and its first name there."""


class Wanted(NamedTuple):
    """What is to be at a path."""

    entry: Entry
    layer: Digest
    """"" for a part of the stub."""
    shared: Shared | None


class Known(NamedTuple):
    """What is at a path, and how it looked when it was last known to be that."""

    wanted: Wanted
    signature: Signature
    birth: bytes
    """Of a folder; see `signature.birth`."""


class Replica:
    """The folder `path`, made if need be, which nobody else knows. `scratch`, beside it, is for probes.

    Not for several threads at once.
    """

    def __init__(self, path: str, scratch: str) -> None:
        self.path = path
        self._scratch = scratch
        self.known: dict[str, Known] = {}
        """All that is in it, by path, parents first."""
        self.trusts_times = False
        """Whether an equal signature means equal content; else files must be read."""
        self._shows_mapped_writes: bool | None = None
        os.makedirs(path, 0o700, exist_ok=True)

    def show(self, layers: Layers, view: View, stub: Stub, only: str = "") -> None:
        """Make it hold what `view` shows with the `stub` on it; with `only`, that path and all below it."""
        wanted = _wanted(view, stub, only)
        with Folders(self.path) as folders:
            touched = self._drop(folders, wanted)
        with Folders(self.path) as folders:  # other ones: a file may stand now where a folder was
            touched |= self._fill(folders, layers, wanted)
            self._finish_folders(folders, wanted, touched)
            self._remember(folders, wanted)
        self._await_visible_changes()

    def _drop(self, folders: Folders, wanted: dict[str, Wanted]) -> set[str]:
        """Remove what is not wanted; the folders that this changed, or that a step changed."""
        touched = set()
        for path, known in reversed(list(self.known.items())):
            now = wanted.get(path)
            is_folder = known.wanted.entry.kind == DIRECTORY
            if now is not None and _is_same(known.wanted, now):
                continue
            if is_folder and now is not None and now.entry.kind == DIRECTORY:
                touched.add(path)
                continue
            folder, name = folders.parent(path)
            os.rmdir(name, dir_fd=folder) if is_folder else os.unlink(name, dir_fd=folder)
            touched.add(path.rpartition("/")[0])
            del self.known[path]
        return touched

    def _fill(self, folders: Folders, layers: Layers, wanted: dict[str, Wanted]) -> set[str]:
        """Make what is missing, layer by layer: so few descriptors are open. The folders that it is in."""
        missing: dict[Digest, list[Wanted]] = {}
        for path, one in wanted.items():
            if path in self.known:
                continue
            if one.entry.kind == DIRECTORY:
                if path:
                    folders.open(path)
            else:
                missing.setdefault(one.layer, []).append(one)
        changed = {one.entry.path.rpartition("/")[0] for files in missing.values() for one in files}
        for path in changed:
            _remove_xattr(folders.open(path), _INHERITED)
        firsts = {known.wanted.shared: path for path, known in self.known.items() if known.wanted.shared}
        for layer, files in missing.items():
            if layer:
                with Folders(layers.contents(layer)) as sources:
                    for one in files:
                        _make(folders, sources, one, firsts)
            else:
                for one in files:
                    _make_empty(folders, one.entry)
        made = {
            path for path, one in wanted.items() if one.entry.kind == DIRECTORY and path not in self.known
        }
        return changed | made | {path.rpartition("/")[0] for path in made if path}

    def _finish_folders(self, folders: Folders, wanted: dict[str, Wanted], touched: set[str]) -> None:
        """Owners, modes and times, from the leaves to the root."""
        for path, one in reversed(wanted.items()):
            if one.entry.kind == DIRECTORY and (path in touched or self._was_changed(folders, path)):
                descriptor = folders.open(path)
                for name in {*attributes.names(descriptor)} - {name for name, _ in one.entry.xattrs}:
                    if attributes.is_kept(name):
                        os.removexattr(descriptor, name)
                finish_file(descriptor, one.entry)

    def _was_changed(self, folders: Folders, path: str) -> bool:
        known = self.known.get(path)
        return known is None or signature(os.fstat(folders.open(path))) != known.signature

    def _remember(self, folders: Folders, wanted: dict[str, Wanted]) -> None:
        before, self.known = self.known, {}
        for path, one in wanted.items():
            known = before.get(path)
            if known is not None and one.entry.kind != DIRECTORY and one.shared is None:
                self.known[path] = known._replace(wanted=one)  # nobody has touched it
                continue
            folder, name = folders.parent(path) if path else (folders.open(""), ".")
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue  # a device that could not be made
            born = birth(folder, name) if one.entry.kind == DIRECTORY else b""
            self.known[path] = Known(one, signature(status), born)

    def _await_visible_changes(self) -> None:
        if self._shows_mapped_writes is None:
            self._shows_mapped_writes = shows_mapped_writes(self._scratch)
        latest = max(known.signature.changed for known in self.known.values())
        self.trusts_times = await_tick(self._scratch, latest) and self._shows_mapped_writes


def _wanted(view: View, stub: Stub, only: str) -> dict[str, Wanted]:
    """By path, parents first."""
    wanted: dict[str, Wanted] = {}
    names: dict[Shared, int] = {}
    for entry, layer in _found(view, only):
        shared = None
        if entry.kind == FILE and layer:
            own = view.cache.of(layer).entries[entry.path]
            shared = (layer, own.link if own.kind == HARDLINK else own.path)
            names[shared] = names.get(shared, 0) + 1
        wanted[entry.path] = Wanted(entry, layer, shared)
    for path, one in wanted.items():
        if one.shared is not None and names[one.shared] == 1:
            wanted[path] = one._replace(shared=None)
    for path, entry in stub.items():
        wanted.setdefault(path, Wanted(entry, Digest(""), None))
    return wanted


def _found(view: View, only: str) -> Iterator[tuple[Entry, Digest]]:
    parts = only.split("/") if only else []
    for count in range(len(parts)):
        found = view.lookup("/".join(parts[:count]))
        assert found is not None
        yield found
    yield from view.walk(only)


def _is_same(one: Wanted, other: Wanted) -> bool:
    """Whether the file that is there will do. From which layer it came, and where in its stream, does not
    matter, unless it has other names there."""
    mine, others = one.entry, other.entry
    same = mine is others or mine == others._replace(offset=mine.offset)
    return same and one.shared == other.shared


def _make(folders: Folders, sources: Folders, wanted: Wanted, firsts: dict[Shared, str]) -> None:
    entry = wanted.entry
    if entry.kind == SYMLINK:
        make_symlink(*folders.parent(entry.path), entry)
    elif entry.kind != FILE:
        make_node(*folders.parent(entry.path), entry)
    elif wanted.shared is not None and wanted.shared in firsts:
        _link(folders, firsts[wanted.shared], entry.path)
    else:
        _copy(folders, sources, entry)
        if wanted.shared is not None:
            firsts[wanted.shared] = entry.path


def _copy(folders: Folders, sources: Folders, entry: Entry) -> None:
    folder, name = sources.parent(entry.path)
    source = os.open(name, _READ, dir_fd=folder)
    try:
        folder, name = folders.parent(entry.path)
        target = os.open(name, CREATE, 0o600, dir_fd=folder)
        try:
            clone(source, target)
            finish_file(target, entry)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _link(folders: Folders, first: str, path: str) -> None:
    source_folder, source = folders.parent(first)
    source_folder = os.dup(source_folder)
    try:
        folder, name = folders.parent(path)
        os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(source_folder)


def _remove_xattr(descriptor: int, name: str) -> None:
    try:
        os.removexattr(descriptor, name)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise


def _make_empty(folders: Folders, entry: Entry) -> None:
    folder, name = folders.parent(entry.path)
    descriptor = os.open(name, CREATE, 0o600, dir_fd=folder)
    try:
        finish_file(descriptor, entry)
    finally:
        os.close(descriptor)
