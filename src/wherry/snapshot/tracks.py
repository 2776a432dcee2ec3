"""From the names that a process used to what it looked at in the root filesystem that it began with.

The kernel followed links; the same links are followed here once more, in the indexes of the layers. The
process may have made links, and moved links and folders, so a name may have meant several things one after
the other: all of them count. What is found is never too little, and seldom more than was looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import DIRECTORY, SYMLINK
from wherry.layer.links import MAX_LINKS, parts
from wherry.snapshot.differences import ALL, CONTENT, FACE
from wherry.snapshot.view import View

_THROUGH = re.compile(
    r"(proc/(self|thread-self|\d+)(/task/\d+)?/(cwd|root|fd/\d+)|dev/(fd/\d+|stdin|stdout|stderr))/.+"
    r"|(proc|sys|dev(?!/shm/))/(.+/)?\.\.(/.*)?",
    re.DOTALL,
)
"""Names that mean something else than they say: by way of a descriptor or a folder of a process, and up from
a link of the kernel's."""
_MEANINGS = 1000
"""Of one name: who makes more links than that on the way to one file is not followed."""


class Incomplete(Exception):
    """What was looked at cannot be told for sure; the text says why, for people."""


class Tree:
    """A root filesystem as it was in the beginning, and what was looked at in it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.found: dict[str, int] = {}

    def note(self, path: str, bits: int) -> None:
        self.found[path] = self.found.get(path, 0) | bits


class Mount(NamedTuple):
    """What lies at and below a mount point is no part of the root filesystem.

    It is `tree`, from its folder or file `source` on, or nothing that counts. `folder` is where its files are
    on this machine, if it had some in the beginning that may be links into what counts.
    """

    tree: Tree | None = None
    source: str = ""
    folder: str = ""


class _Way(NamedTuple):
    """`done` is where it has come to, `pending` the names to go, the next one last.

    `done` is `inner` of `tree`; without a tree it is made by the process, or does not count. `root` is the
    process's own root folder.
    """

    done: str
    pending: tuple[str, ...]
    links: int
    root: str
    tree: Tree | None
    inner: str
    mount: Mount | None = None


class Tracks:
    """Collects what was looked at, in the root filesystem and in other trees that are mounted in it.

    First come the process's own changes of names, in their order (`made`, `linked`, `moved`), then what it
    looked at. Paths are absolute; `root` is the folder that a process has changed its root to. All methods
    raise Incomplete.
    """

    def __init__(self, root: Tree, mounts: dict[str, Mount] | None = None) -> None:
        self._tree = root
        self._mounts = mounts or {}
        self._meanings: dict[str, list[str]] = {}
        self._folders: dict[tuple[str, str], tuple[_Way, ...]] = {}
        self._made: set[str] = set()
        self._filled: set[str] = set()

    def made(self, path: str, root: str = "") -> None:
        """A folder was made."""
        for name in self._names(path, root):
            self._make(name)

    def linked(self, path: str, target: str, root: str = "") -> None:
        """A symbolic link was made at `path`."""
        for name in self._names(path, root):
            self._mean(name, target)

    def moved(self, old: str, new: str, root: str = "") -> None:
        """A file has the new name too, or instead; no plain file can be on the way of other names."""
        for source in self._ends(old, root):
            self._look_below(source)
            if source.done.startswith("proc/"):
                raise Incomplete(f"a file got another name by way of /{source.done}")
            leads_on = (
                source.done in self._meanings or source.done in self._filled or _was_more_than_file(source)
            )
            if leads_on or source.done in self._made:
                for name in self._names(new, root):
                    self._make(name)
                    if leads_on:
                        self._mean(name, f"/{source.done}")

    def look(self, path: str, bits: int, follow: bool = True, root: str = "") -> None:
        """`path` was looked at. With `follow`, a link at its end was followed."""
        folder, name = _split(path)
        for way in self._folder(folder, root):
            if not name:
                _note(way, bits)
                continue
            for end in self._ways(way._replace(pending=(name,)), follow):
                _note(end, bits)

    # what names mean

    def _make(self, name: str) -> None:
        """`_filled` are the folders that have what was made in them: another one is the same by any name. A
        package manager makes each folder, however deep, by a name that it changes at once."""
        self._made.add(name)
        self._fill(name)

    def _fill(self, name: str) -> None:
        while (name := name.rpartition("/")[0]) and name not in self._filled:
            self._filled.add(name)

    def _mean(self, name: str, target: str) -> None:
        self._fill(name)
        if target not in self._meanings.setdefault(name, []):
            self._meanings[name].append(target)
            self._folders.clear()

    def _names(self, path: str, root: str) -> list[str]:
        return [way.done for way in self._ends(path, root)]

    def _ends(self, path: str, root: str) -> list[_Way]:
        """All that the last name of `path` may have been, its folder's links followed."""
        folder, name = _split(path)
        return [self._below(way, name, ()) for way in self._folder(folder, root)] if name else []

    def _look_below(self, way: _Way) -> None:
        """A folder takes all that is in it along, also where nobody opens it (where it is not on overlay)."""
        if way.tree is not None:
            for found in way.tree.view.walk(way.inner):
                way.tree.note(found.entry.path, ALL)

    def _folder(self, path: str, root: str) -> tuple[_Way, ...]:
        known = self._folders.get((path, root))
        if known is None:
            root = root.strip("/")
            start = self._at(root)._replace(pending=tuple(parts(path)), root=root)
            _note(start, FACE)
            known = tuple(_entered(way) for way in self._ways(start, follow=True))
            self._folders[path, root] = known
        return known

    def _at(self, path: str) -> _Way:
        """A way that has come to the folder `path`, which has no links in it."""
        way = _Way("", (), 0, "", self._tree, "")
        for name in filter(None, path.split("/")):
            way = self._below(way, name, ())
        return way

    def _below(self, way: _Way, name: str, pending: tuple[str, ...]) -> _Way:
        """One name further, whatever it is."""
        done = f"{way.done}/{name}" if way.done else name
        mount = self._mounts.get(done)
        if mount is not None:
            return way._replace(
                done=done, pending=pending, tree=mount.tree, inner=mount.source.strip("/"), mount=mount
            )
        inner = f"{way.inner}/{name}" if way.inner else name
        return way._replace(done=done, pending=pending, inner=inner)

    def _ways(self, start: _Way, follow: bool) -> Iterator[_Way]:
        """All places that a name may have meant; what was met on the way to them is noted."""
        seen = {start}
        pending = [start]
        while pending:
            way = pending.pop()
            if not way.pending:
                yield way
                continue
            for further in self._next(way, follow):
                if further not in seen:
                    seen.add(further)
                    pending.append(further)
            if len(seen) > _MEANINGS:
                raise Incomplete("too many links lead to one file")

    def _next(self, way: _Way, follow: bool) -> Iterable[_Way]:
        """What the next name of a way may be."""
        name, pending = way.pending[-1], way.pending[:-1]
        if name == "..":
            parent = way.done.rpartition("/")[0] if way.done != way.root else way.root
            yield self._at(parent)._replace(pending=pending, links=way.links, root=way.root)
            return
        here = self._below(way, name, pending)
        _refuse_detours(here)
        is_last = not pending
        targets = list(self._meanings.get(here.done, ()))
        found = here.tree.view.lookup(here.inner) if here.tree is not None else None
        if found is not None and found.entry.kind == SYMLINK:
            targets.append(found.entry.link)
        elif here.mount is not None and here.mount.folder:
            targets += _link_in(here)
        if targets and (follow or not is_last):
            if found is not None and here.tree is not None:
                here.tree.note(here.inner, FACE | CONTENT)
            if way.links < MAX_LINKS:
                yield from (self._detour(here, target) for target in targets)
        if not is_last:
            _note(here, FACE)
        is_in_tree = is_last or (found is not None and found.entry.kind == DIRECTORY)
        # Else there is nothing below it but what the process may have made, what a mount has, and the way up.
        yield here if is_in_tree else here._replace(tree=None)

    def _detour(self, here: _Way, target: str) -> _Way:
        """By way of a link at `here`."""
        start = here.root if target.startswith("/") else here.done.rpartition("/")[0]
        pending = (*here.pending, *parts(target))
        return self._at(start)._replace(pending=pending, links=here.links + 1, root=here.root)


def _was_more_than_file(way: _Way) -> bool:
    found = way.tree.view.lookup(way.inner) if way.tree is not None else None
    return found is not None and found.entry.kind in (DIRECTORY, SYMLINK)


def _entered(way: _Way) -> _Way:
    """A way to a folder, to go on from. Where the tree has no folder, nothing in it is the tree's."""
    _note(way, FACE)
    found = way.tree.view.lookup(way.inner) if way.tree is not None else None
    return way if found is not None and found.entry.kind == DIRECTORY else way._replace(tree=None)


def _note(way: _Way, bits: int) -> None:
    if way.tree is not None:
        way.tree.note(way.inner, bits)


def _refuse_detours(way: _Way) -> None:
    """/proc/self/root/x is /x, and /dev/fd/3/x is in the folder that descriptor 3 is."""
    if way.mount is not None and _THROUGH.fullmatch("/".join((way.done, *reversed(way.pending)))):
        raise Incomplete(f"a file was named by way of /{way.done}")


def _link_in(way: _Way) -> list[str]:
    """The target of a link that a mount had when the process began (or has at least now)."""
    assert way.mount is not None
    try:
        return [os.readlink(f"{way.mount.folder}/{way.inner}")]
    except OSError:
        return []


def _split(path: str) -> tuple[str, str]:
    """The folder and the last name; no name where the path ends with a slash or with dots."""
    folder, _, name = path.rpartition("/")
    return (path, "") if name in ("", ".", "..") else (folder, name)
