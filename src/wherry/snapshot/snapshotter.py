"""How root filesystems are made of layers: mounted by overlay, or copied; and the choice between the two."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.forms import current_form
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.snapshot.overlay import Mounted, overlay
from wherry.snapshot.view import View
from wherry.store.store import Store, remove_tree

AUTO, OVERLAY, COPY = "auto", "overlay", "copy"


class Snapshotter(Protocol):
    """For several threads at once."""

    def mounted(
        self, diff_ids: Sequence[Digest], scratch: str, *, view: View, mountpoints: Sequence[str] = ()
    ) -> AbstractContextManager[Mounted]:
        """A root filesystem to write to, in the folder `scratch` of the store's; see `overlay.overlay`."""

    def shown(self, view: View, scratch: str, path: str) -> AbstractContextManager[str]:
        """A root filesystem in which `path` is, with all below it. Changes to it go nowhere else."""

    def kept(
        self,
        diff_ids: Sequence[Digest],
        scratch: str,
        *,
        view: View,
        mountpoints: Sequence[str],
        durable: bool,
    ) -> AbstractContextManager[Mounted]:
        """As `mounted`, with all that earlier uses of `scratch` have left; nobody asks what was changed."""

    def again(
        self, diff_ids: Sequence[Digest], scratch: str, *, view: View, mountpoints: Sequence[str], left: str
    ) -> AbstractContextManager[Mounted]:
        """As `mounted`, with what a failed process has left in the folder `left`, which stays as it is."""


class Choice(NamedTuple):
    """`reason` says why overlay is not used; empty where it is, or where copying was asked for."""

    name: str
    reason: str = ""


def choose(store: Store, wanted: str, *, may_mount: bool) -> Choice:
    """`wanted` is "overlay", "copy" or "auto": overlay where it works, tried by mounting nothing.

    The process must be in its mode (`runtime.modes.enter`); `may_mount` says whether that is one with mounts.
    UsageError where overlay is demanded without, Unsupported for copying where there is a single id.
    """
    choice = _choose(store, wanted, may_mount)
    if choice.name == COPY and not current_form().has_owners:
        raise Unsupported(
            "root filesystems cannot be copied in the single-id mode"
            + (f", and {choice.reason}" if choice.reason else ""),
            hint="use overlay, or a mode with more ids: see `wherry info`",
        )
    return choice


def _choose(store: Store, wanted: str, may_mount: bool) -> Choice:
    if wanted == COPY:
        return Choice(COPY)
    if not may_mount:
        if wanted == OVERLAY:
            raise UsageError("--snapshotter=overlay needs a mode that can mount, and chroot is none")
        return Choice(COPY, "this mode cannot mount")
    if wanted == OVERLAY:
        return Choice(OVERLAY)
    try:
        with store.scratch("probe") as scratch, overlay(store, Layers(store), [], scratch):
            return Choice(OVERLAY)
    except WherryError as error:
        return Choice(COPY, error.message)


def choose_again(store: Store, scratch: str, wanted: str, *, may_mount: bool) -> Choice:
    """As `choose`, for `Snapshotter.kept` and `again`: what was made in one way stays so."""
    if os.path.isdir(f"{scratch}/upper"):
        return Choice(OVERLAY)
    if os.path.isdir(f"{scratch}/root"):
        return Choice(COPY)
    return choose(store, wanted, may_mount=may_mount)


@contextmanager
def kept(
    store: Store,
    layers: Layers,
    wanted: str,
    diff_ids: Sequence[Digest],
    scratch: str,
    *,
    view: View,
    mountpoints: Sequence[str],
    durable: bool,
) -> Iterator[Mounted]:
    """As `Snapshotter.kept`, by what `choose_again` chooses, for a process that may mount.

    Whether overlay works is found out by the very mount that is wanted: nearly always it is the only one.
    """
    with ExitStack() as held:

        def by(name: str) -> Mounted:
            snapshots = held.enter_context(open_snapshotter(store, layers, name))
            return held.enter_context(
                snapshots.kept(diff_ids, scratch, view=view, mountpoints=mountpoints, durable=durable)
            )

        is_new = not any(os.path.isdir(f"{scratch}/{name}") for name in ("upper", "root"))
        if wanted != AUTO or not is_new:
            yield by(choose_again(store, scratch, wanted, may_mount=True).name)
            return
        try:
            mounted = by(OVERLAY)
        except WherryError:
            choice = choose(store, wanted, may_mount=True)
            if choice.name == OVERLAY:
                raise
            for name in ("upper", "root"):
                remove_tree(f"{scratch}/{name}")
            mounted = by(choice.name)
        yield mounted


@contextmanager
def open_snapshotter(store: Store, layers: Layers, name: str) -> Iterator[Snapshotter]:
    """The snapshotter of a command, until the block ends."""
    if name == OVERLAY:
        yield Overlays(store, layers)
        return
    from wherry.snapshot.copy import Copies

    with store.scratch("trees") as scratch:
        yield Copies(store, layers, scratch)


class Overlays:
    """A snapshotter that mounts."""

    def __init__(self, store: Store, layers: Layers) -> None:
        self._store = store
        self._layers = layers

    def mounted(
        self, diff_ids: Sequence[Digest], scratch: str, *, view: View, mountpoints: Sequence[str] = ()
    ) -> AbstractContextManager[Mounted]:
        return overlay(self._store, self._layers, diff_ids, scratch, view=view, mountpoints=mountpoints)

    @contextmanager
    def shown(self, view: View, scratch: str, path: str) -> Iterator[str]:
        del path  # all of it is there at once
        with overlay(self._store, self._layers, view.diff_ids, scratch, view=view, bare=True) as mounted:
            yield mounted.path

    def kept(
        self,
        diff_ids: Sequence[Digest],
        scratch: str,
        *,
        view: View,
        mountpoints: Sequence[str],
        durable: bool,
    ) -> AbstractContextManager[Mounted]:
        return overlay(
            self._store,
            self._layers,
            diff_ids,
            scratch,
            view=view,
            mountpoints=mountpoints,
            durable=durable,
        )

    def again(
        self, diff_ids: Sequence[Digest], scratch: str, *, view: View, mountpoints: Sequence[str], left: str
    ) -> AbstractContextManager[Mounted]:
        return overlay(
            self._store,
            self._layers,
            diff_ids,
            scratch,
            view=view,
            mountpoints=mountpoints,
            top=f"{left}/upper",
        )
