"""A root filesystem to write to, made by copying: for where overlay is refused.

The contract is `overlay.overlay`'s: a folder to run a process in, and in the end one of what was changed.
A tree that has served one step goes on to the next one, made to show its image: a chain of steps copies its
base once. For N steps at a time there are N trees.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from wherry.base.errors import WherryError
from wherry.layer.duplicate import copy_into
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.harvest import harvest
from wherry.snapshot.overlay import Mounted
from wherry.snapshot.replica import Replica
from wherry.snapshot.stub import stub_of
from wherry.snapshot.told import Told
from wherry.snapshot.view import View
from wherry.store.store import Store


class Copies:
    """The trees of one command, kept in `scratch`; for several threads."""

    def __init__(self, store: Store, layers: Layers, scratch: str) -> None:
        self._store = store
        self._layers = layers
        self._scratch = scratch
        self._idle: list[tuple[tuple[Digest, ...], Replica]] = []
        """With the chain that each shows."""
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def mounted(
        self,
        diff_ids: Sequence[Digest],
        scratch: str,
        *,
        view: View,
        mountpoints: Sequence[str] = (),
    ) -> Iterator[Mounted]:
        """As `overlay.overlay`: the tree of `diff_ids` in `scratch`, a folder of the store's file system."""
        mounted = Mounted(f"{scratch}/root", f"{scratch}/upper", f"{scratch}/work", Told())
        assert mounted.told is not None
        with self._failing():
            replica, home = self._taken(tuple(diff_ids)), mounted.path
            os.rename(replica.path, home)
            replica.path, home = home, replica.path
            replica.show(self._layers, view, stub_of(view, mountpoints))
        yield mounted
        # An error leaves the tree where it is, to be looked at or to go with `scratch`.
        with self._failing():
            harvest(replica, mounted.upper, mounted.told)
            os.rename(replica.path, home)
            replica.path = home
            with self._lock:
                self._idle.append((tuple(diff_ids), replica))

    @contextmanager
    def shown(self, view: View, scratch: str, path: str) -> Iterator[str]:
        """A copy of its own of `path` of `view`, in a root filesystem that has nothing else."""
        with self._failing():
            replica = Replica(f"{scratch}/root", scratch)
            replica.show(self._layers, view, {}, only=path)
        yield replica.path

    @contextmanager
    def kept(
        self,
        diff_ids: Sequence[Digest],
        scratch: str,
        *,
        view: View,
        mountpoints: Sequence[str],
        durable: bool,
    ) -> Iterator[Mounted]:
        """A tree that outlives the command: copied at the first time, and the same one ever after."""
        del diff_ids, durable  # nothing holds the kernel back from writing a folder to the disk
        mounted = Mounted(f"{scratch}/root", f"{scratch}/upper", f"{scratch}/work")
        if not os.path.isdir(mounted.path):
            with self._failing(), self._store.scratch("copy") as unfinished:
                replica = Replica(f"{unfinished}/root", unfinished)
                replica.show(self._layers, view, stub_of(view, mountpoints))
                os.rename(replica.path, mounted.path)
        yield mounted

    @contextmanager
    def again(
        self, diff_ids: Sequence[Digest], scratch: str, *, view: View, mountpoints: Sequence[str], left: str
    ) -> Iterator[Mounted]:
        """A copy of the tree that a failed process has left."""
        del diff_ids, view, mountpoints  # they are in the tree
        mounted = Mounted(f"{scratch}/root", f"{scratch}/upper", f"{scratch}/work")
        with self._failing():
            _copy_tree(f"{left}/root", mounted.path)
        yield mounted

    def _taken(self, diff_ids: tuple[Digest, ...]) -> Replica:
        """The idle tree that has most in common with the chain, or a new one."""
        with self._lock:
            if self._idle:
                best = max(self._idle, key=lambda idle: _common(idle[0], diff_ids))
                self._idle.remove(best)
                return best[1]
            self._count += 1
            return Replica(f"{self._scratch}/tree-{self._count}", self._scratch)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = f"{error.filename!r}: " if error.filename else ""
            message = f"cannot copy a root filesystem below {self._store.root}: {name}{error.strerror}"
            raise WherryError(message) from None


def _common(one: tuple[Digest, ...], other: tuple[Digest, ...]) -> int:
    """Layers from the lowest on that both have."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _copy_tree(source: str, target: str) -> None:
    os.mkdir(target, 0o700)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with ExitStack() as stack:
        descriptors = []
        for path in (source, target):
            descriptors.append(os.open(path, flags))
            stack.callback(os.close, descriptors[-1])
        copy_into(*descriptors)
