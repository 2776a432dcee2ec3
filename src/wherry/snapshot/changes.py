"""Makes a layer of what a step changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.layer import owners
from wherry.layer.entry import FILE, HARDLINK, OPAQUE, WHITEOUT, Entry
from wherry.layer.folders import Folders
from wherry.layer.forms import PLAIN, current_form
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer
from wherry.snapshot import pyc
from wherry.snapshot.ownership import Ownership
from wherry.snapshot.scan import SECOND, Changes, scan
from wherry.snapshot.stub import stub_of
from wherry.snapshot.told import Told
from wherry.snapshot.view import View


def changes(
    upper: str,
    lower: View,
    *,
    clamp: int | None = None,
    mountpoints: Sequence[str] = (),
    told: Told | None = None,
) -> tuple[Entry, ...]:
    """What the folder `upper` changes in the image `lower`; `upper` is only read.

    `told` says what is removed where it is no folder of overlay's.
    """
    stub = stub_of(lower, mountpoints)
    with _reading(upper), Folders(upper) as folders:
        return scan(folders, lower, stub, told or current_form(), clamp).entries


def commit(
    layers: Layers,
    upper: str,
    lower: View,
    *,
    clamp: int | None,
    mountpoints: Sequence[str] = (),
    told: Told | None = None,
    ownership: Ownership = Ownership(),  # noqa: B008 - a frozen value
) -> Layer | None:
    """The layer of what `upper` changes in `lower`; None where that is nothing.

    `upper` must be mounted no more. It lies in the store's `tmp/` and is taken over: first it is made to
    hold just what the layer's entries say, so that the tree, the tar stream, and the stream extracted on
    another machine are the same, on this parent and on any other.

    Times are whole seconds, and those that the step set no later than `clamp` (seconds since 1970).
    `mountpoints` are those that `overlay` was given, `told` what it said. `ownership` is for the
    single-id mode.
    """
    stub = stub_of(lower, mountpoints)
    with _reading(upper), Folders(upper) as folders:
        found = scan(folders, lower, stub, told or current_form(), clamp, ownership)
        if not found.entries:
            return None
        _settle(folders, found, lower, clamp, is_overlay=told is None)
        form = PLAIN if told else current_form()
        return layers.add_upper(upper, _with_content(folders, found.entries), form)


def _settle(folders: Folders, found: Changes, lower: View, clamp: int | None, *, is_overlay: bool) -> None:
    """Makes the tree what the entries say. Times come last: all else changes them."""
    for path, is_folder in found.surplus:
        folder, name = folders.parent(path)
        os.rmdir(name, dir_fd=folder) if is_folder else os.unlink(name, dir_fd=folder)
    for path in found.sockets:
        folder, name = folders.parent(path)
        os.unlink(name, dir_fd=folder)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=folder)
    for path in found.idle_marks if is_overlay else ():
        os.removexattr(folders.open(path), current_form().opaque)
    _settle_owners(folders, found)
    if clamp is not None:
        _correct_bytecode(folders, found, lower, clamp)
    for entry in found.entries:
        if entry.kind not in (WHITEOUT, OPAQUE, HARDLINK):
            folder, name = folders.parent(entry.path) if entry.path else (folders.open(""), ".")
            os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)


def _settle_owners(folders: Folders, found: Changes) -> None:
    """Attributes as `layer/owners.py` has them in a layer's tree."""
    if not found.owners:
        return
    here = {entry.path for entry in found.entries}
    for path, value in found.owners:
        if path not in here:
            continue
        folder, name = folders.parent(path) if path else (folders.open(""), ".")
        place = f"/proc/self/fd/{folder}/{name}"
        if value:
            os.setxattr(place, owners.OWNER, value)
        else:
            os.removexattr(place, owners.OWNER)


def _correct_bytecode(folders: Folders, found: Changes, lower: View, clamp: int) -> None:
    sources = sources_of(found, lower)
    for path in sorted(sources.bytecode):
        with _open(folders, path, os.O_RDWR) as file:
            pyc.follow(file.fileno(), path, sources, clamp)


def sources_of(found: Changes, lower: View) -> pyc.Sources:
    """Of the bytecode among what is changed in `lower`."""
    bytecode = [entry.path for entry in found.entries if entry.kind == FILE and entry.path.endswith(".pyc")]
    if not bytecode:
        return pyc.Sources({}, frozenset())
    here = {entry.path: entry for entry in found.entries if entry.kind != OPAQUE}

    def is_present(source: str) -> bool:
        if source in here:
            return here[source].kind != WHITEOUT
        return lower.lookup(source) is not None

    return pyc.Sources(
        {path: (old, here[path].mtime // SECOND) for path, old in found.clamped.items() if path in here},
        {source for source in map(pyc.source_of, bytecode) if is_present(source)},
        frozenset(bytecode),
    )


def _with_content(
    folders: Folders, entries: tuple[Entry, ...]
) -> Iterator[tuple[Entry, Callable[[], BinaryIO] | None]]:
    for entry in entries:
        yield entry, partial(_open, folders, entry.path) if entry.kind == FILE else None


def _open(folders: Folders, path: str, flags: int = os.O_RDONLY) -> BinaryIO:
    folder, name = folders.parent(path)
    descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    return open(descriptor, "rb" if flags == os.O_RDONLY else "r+b", buffering=0)


@contextmanager
def _reading(upper: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = f": {error.filename!r}" if error.filename else ""
        raise WherryError(f"cannot read what was changed, {upper}{name}: {error.strerror}") from None
