"""What a stream of entries adds up to: rules for names that come twice, or below what is no folder.

Pure, so that the index of a layer that is only read and the tree of one that is extracted cannot differ:
- the last entry of a name wins; a folder that comes again keeps what is in it;
- a parent that the stream does not have is a folder of mode 0755 that belongs to root, as docker makes it,
  and it is noted as implied: where lower layers have it, it is to stay as it is there, as with containerd;
- a symlink of the same layer in the middle of a path is followed within the root;
- a hard link shares what its target was at that moment, so it survives the target's replacement;
- whiteouts are about the layers below only, wherever they stand in the stream (OCI image-spec, layer.md).
"""

from __future__ import annotations

from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.layer.entry import DIRECTORY, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.source import Limits, too_many
from wherry.layer.writer import Layer
from wherry.oci.digest import Digest

_MAX_LINKS = 40
"""Symlinks in one path: the kernel's own limit."""
_MAX_NAMES = 65_000
"""Hard links of one file: ext4's own limit."""


class Placed(NamedTuple):
    entry: Entry
    """As it is kept: its path has no symlink in the middle, its link names the first of the hard links."""
    replaced: Entry | None
    """What stood there, with all below it, and has to go; not a folder that a folder only updates."""


class Tree:
    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._made = self._made_names = 0
        """Folders that were implied, and the bytes of their paths: one path may imply two thousand."""
        self.found: dict[str, Entry] = {}
        """By path; parents stand before children, and a hard link's target before it."""
        self.implied: set[str] = set()
        """Folders that only something below them speaks of."""
        self._opaque: dict[str, Entry] = {}
        self._names: dict[str, set[str]] = {"": set()}
        """Of every folder, the names in it."""
        self._links: dict[str, list[str]] = {}
        """Of every file with several names, the other names."""

    def place(self, entry: Entry) -> Placed | None:
        """Takes `entry` in; None where nothing is to be done now (`entries` has the whiteouts in the end)."""
        if entry.kind == OPAQUE:
            self._place_opaque(entry)
            return None
        path = self._resolved(entry.path)
        if path != entry.path:
            entry = entry._replace(path=path)
        if entry.kind == HARDLINK:
            target = self._target(entry)
            if target.path == path:
                return None
            if target.path.startswith(path + "/"):
                raise Corrupt(f"a tar archive has a hard link {path!r} to {target.path!r}, which it replaces")
            entry = target._replace(path=path, kind=HARDLINK, link=target.path, size=0, digest=b"", offset=-1)
        before = self.found.get(path)
        if entry.kind == WHITEOUT:
            self._remove_below(entry, before)
            return None
        if path:
            self._enter(path)
        self.implied.discard(path)
        replaced = None
        if before is not None:
            replaced = self._replace(entry, before)
        if entry.kind == DIRECTORY:
            self._names.setdefault(path, set())
        elif entry.kind == HARDLINK:
            names = self._links.setdefault(entry.link, [])
            if len(names) >= _MAX_NAMES:
                raise Corrupt(f"a tar archive has a file of more than {_MAX_NAMES} names: {entry.link!r}")
            names.append(path)
        self.found[path] = entry
        return Placed(entry, replaced)

    def entries(self) -> tuple[Entry, ...]:
        """All of them in a valid order, whiteouts included."""
        return (*self.found.values(), *self._opaque.values())

    def layer(self, diff_id: str, size: int) -> Layer:
        """All of it as a layer; `diff_id` in hex, `size` of its stream."""
        return Layer(Digest(f"sha256:{diff_id}"), size, self.entries(), tuple(sorted(self.implied)))

    def _place_opaque(self, entry: Entry) -> None:
        path = self._resolved(f"{entry.path}/." if entry.path else ".").rpartition("/")[0]
        self._make_folder(path)
        self._opaque[path] = entry._replace(path=path)

    def _enter(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        names = self._names.get(folder)
        if names is None:
            self._make_folder(folder)
            names = self._names[folder]
        names.add(name)

    def _make_folder(self, path: str) -> None:
        """`path` and what is missing above it, as folders."""
        missing = []
        while path not in self._names:
            missing.append(path)
            path = path.rpartition("/")[0]
        self._made += len(missing)
        self._made_names += sum(map(len, missing))
        if self._made > self._limits.entries or self._made_names > self._limits.names:
            raise too_many(self._limits)
        for folder in reversed(missing):
            was_removed = folder in self.found  # as a whiteout: the folder of lower layers is another one
            self.place(Entry(folder, DIRECTORY, 0o755))
            if not was_removed:
                self.implied.add(folder)

    def _replace(self, entry: Entry, before: Entry) -> Entry | None:
        """Makes room for `entry`; what has to go from the disk too."""
        path = entry.path
        if before.kind == WHITEOUT:
            del self.found[path]
            if entry.kind == DIRECTORY:
                self._opaque[path] = Entry(path, OPAQUE)
            return None
        if before.kind == DIRECTORY:
            if entry.kind == DIRECTORY:
                return None
            self._forget_below(path)
        self._forget(path)
        return before

    def _remove_below(self, entry: Entry, before: Entry | None) -> None:
        """A whiteout: hides what lower layers have under this name, and nothing of this one."""
        path = entry.path
        if before is None and path:
            self._enter(path)
            self.found[path] = entry
        elif before is None or before.kind == DIRECTORY:
            self.implied.discard(path)
            self._opaque[path] = Entry(path, OPAQUE, mtime=entry.mtime)

    def _forget_below(self, path: str) -> None:
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            for name in self._names.pop(folder):
                child = f"{folder}/{name}"
                if child in self._names:
                    waiting.append(child)
                self._forget(child)
            self._opaque.pop(folder, None)

    def _forget(self, path: str) -> None:
        """Drops one name; the content of a file with other names stays with the next of them."""
        gone = self.found.pop(path)
        self.implied.discard(path)
        if gone.kind == HARDLINK:
            self._links[gone.link].remove(path)
        names = self._links.pop(path, None)
        if not names:
            return
        heir, *others = names
        self.found[heir] = gone._replace(path=heir)
        if others:
            self._links[heir] = others
        for other in others:
            self.found[other] = self.found[other]._replace(link=heir)

    def _target(self, entry: Entry) -> Entry:
        target = self.found.get(self._resolved(entry.link))
        if target is not None and target.kind == HARDLINK:
            target = self.found[target.link]
        if target is None or target.kind in (DIRECTORY, WHITEOUT):
            raise Corrupt(
                f"a tar archive has a hard link {entry.path!r} to {entry.link!r}, which is no file in it"
            )
        return target

    def _resolved(self, path: str) -> str:
        """`path` with the symlinks above its last name followed; they never lead above the root."""
        folder, slash, name = path.rpartition("/")
        if not slash or folder in self._names:
            return path
        waiting, done, links = folder.split("/")[::-1], "", 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            if part in ("", "."):
                continue
            here = f"{done}/{part}" if done else part
            found = self.found.get(here)
            if found is not None and found.kind == SYMLINK:
                links += 1
                if links > _MAX_LINKS:
                    raise Corrupt(f"a tar archive has {path!r} below a circle of symlinks")
                if found.link.startswith("/"):
                    done = ""
                waiting += found.link.split("/")[::-1]
            elif found is not None and found.kind not in (DIRECTORY, WHITEOUT):
                raise Corrupt(f"a tar archive has {path!r} below {here!r}, which is no folder")
            else:
                done = here
        return f"{done}/{name}" if done else name
