"""What a RUN looks at: what its process did, told by the runtime, and what wherry itself asked for it.

The runtime puts down names; here they become observations of the step's root filesystem and of those that
its mounts show. What counts for nothing is left out: what every container has (/proc, /sys, /dev, the names
of the host), caches, secrets and file systems in memory.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterator, Mapping, Sequence

from wherry.base.tuples import NamedTuple
from wherry.build.account import NOTHING_COPIED
from wherry.build.step import Copy, Run, Step, has_filled_cache
from wherry.layer.entry import SYMLINK
from wherry.runtime.spec import Container
from wherry.snapshot.differences import FACE
from wherry.snapshot.noting import NotingView
from wherry.snapshot.tracks import Incomplete, Mount, Tracks, Tree
from wherry.snapshot.view import View

_EVERYWHERE = ("proc", "sys", "dev")
_FOLLOWED, _NOT_FOLLOWED = 7, 3
"""The bits of what was looked at with a link at the end followed, and the place of the others."""


def worth_watching(steps: Sequence[Step], everything: bool = False) -> frozenset[int]:
    """The numbers of the RUNs that may come upon another parent: something below them is copied or mounted.

    Nothing is gained for the rest, so they are not slowed down; but with `everything` all of them count.
    """
    copied: set[int] = set()
    found = set()
    for step in steps:
        if isinstance(step.operation, Copy) or step.parent in copied:
            copied.add(step.number)
        is_gain = everything or bool(step.inputs) or step.parent in copied
        if is_gain and isinstance(step.operation, Run) and not has_filled_cache(step.operation):
            found.add(step.number)
    return frozenset(found)


def unwatched(operation: Run, exact_cache: bool) -> str:
    """Why a RUN is not among those that are worth watching, for people."""
    if exact_cache:
        return "--cache=exact observes nothing"
    if has_filled_cache(operation):
        return "a cache of it begins with files of another step"
    return NOTHING_COPIED


class _Told(NamedTuple):
    """See `runtime/init/observer.py`."""

    seen: list[tuple[tuple[str, str], int]]
    changes: list[tuple[str, ...]]
    problem: str
    networked: bool


class Watch:
    """One RUN. `view` is for what wherry looks up in the parent for it; `inputs` are what mounts show.

    Without `files` it is only observed whether the network is used: that costs nothing where it is not.
    """

    def __init__(self, parent: View, inputs: Sequence[View], scratch: str, files: bool) -> None:
        self._files = files
        self._root = Tree(parent)
        self._inputs = [Tree(view) for view in inputs]
        self._result = f"{scratch}/observed"
        self.view = NotingView(self._root)

    def observing(self, container: Container) -> Container:
        """The container, to be started so that what it does is put down."""
        if not self._files and container.network == "none":
            return container
        return container._replace(observed=self._result, watched=self._files)

    def networked(self, container: Container) -> bool:
        """Whether the process may have used the network: also where that cannot be told."""
        if container.network == "none":
            return False
        try:
            return self._told().networked
        except Incomplete:
            return True

    def trees(self, container: Container, operation: Run) -> list[Tree]:
        """What was looked at in the parent and in each of the inputs, once the process has ended.

        Raises Incomplete where that cannot be told for sure.
        """
        told = self._told()
        if told.problem:
            raise Incomplete(told.problem)
        tracks = Tracks(self._root, self._mounts(container, operation))
        tracks.look(operation.folder, FACE)
        for mount in container.mounts:
            tracks.look(mount.target, FACE)
        for kind, path, other, root in told.changes:
            if kind == "made":
                tracks.made(path, root)
            elif kind == "linked":
                tracks.linked(path, other, root)
            else:
                tracks.moved(path, other, root)
        for (root, path), bits in told.seen:
            if bits & _FOLLOWED:
                tracks.look(path, bits & _FOLLOWED, True, root)
            if bits >> _NOT_FOLLOWED:
                tracks.look(path, bits >> _NOT_FOLLOWED, False, root)
        return [self._root, *self._inputs]

    def _told(self) -> _Told:
        """What the runtime has put down."""
        try:
            with open(self._result, "rb") as file:
                seen, changes, problem, networked = marshal.load(file)
        except (OSError, EOFError, ValueError, TypeError):
            raise Incomplete("this system does not let wherry observe processes") from None
        names = (((root, path), bits) for (root, path), bits in seen.items() if path[:1] == b"/")
        return _Told(
            [((os.fsdecode(root), os.fsdecode(path)), bits) for (root, path), bits in names],
            [(kind, *map(os.fsdecode, words)) for kind, *words in changes],
            problem,
            networked,
        )

    def _mounts(self, container: Container, operation: Run) -> dict[str, Mount]:
        """By their places, links in the image followed as the runtime follows them."""
        places = dict.fromkeys(_EVERYWHERE, Mount())
        places |= {self._place(mount.target): Mount() for mount in container.mounts}
        places |= dict(self._asked_for(container, operation))
        for place in places:
            _look_through(places, place)
        return places

    def _asked_for(self, container: Container, operation: Run) -> Iterator[tuple[str, Mount]]:
        """The mounts of the instruction that show files of others."""
        sources = {mount.target: mount.source for mount in container.mounts}
        for mount in operation.mounts:
            if mount.kind == "cache":
                yield self._place(mount.target), Mount(folder=sources[mount.target])
            elif mount.kind == "bind":
                assert mount.input is not None
                tree = self._inputs[mount.input]
                Tracks(tree).look(mount.source, FACE)
                yield self._place(mount.target), Mount(tree, tree.view.resolve(mount.source))

    def _place(self, target: str) -> str:
        return self._root.view.resolve(target)


def _look_through(places: Mapping[str, Mount], place: str) -> None:
    """What is mounted on a place inside of another mount may lie elsewhere, if that has links."""
    names = place.split("/")
    outer = next((at for at in range(len(names) - 1, 0, -1) if "/".join(names[:at]) in places), 0)
    mount = places["/".join(names[:outer])] if outer else Mount()
    for at in range(outer + 1, len(names) + 1):
        inner = "/".join(names[outer:at])
        if mount.tree is not None:
            path = f"{mount.source}/{inner}".lstrip("/")
            mount.tree.note(path, FACE)
            found = mount.tree.view.lookup(path)
            is_link = found is not None and found.entry.kind == SYMLINK
        else:
            is_link = bool(mount.folder) and os.path.islink(f"{mount.folder}/{inner}")
        if is_link:
            raise Incomplete(f"a mount lies beyond a link of another one, /{place}")
