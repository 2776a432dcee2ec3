"""A root filesystem that a snapshotter keeps, without a mount: an image, and what a container made of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from wherry.base.errors import NotFound, WherryError
from wherry.layer.entry import FILE, Entry
from wherry.layer.folders import Folders
from wherry.layer.forms import current_form
from wherry.layer.reading import Exactly
from wherry.layer.writer import Layer
from wherry.oci.digest import Digest
from wherry.snapshot.names import Contents
from wherry.snapshot.ownership import Ownership
from wherry.snapshot.scan import scan
from wherry.snapshot.stub import stub_of
from wherry.snapshot.told import Told
from wherry.snapshot.view import View

_TOP = Digest("")
"""What the changes are called among the layers."""


@contextmanager
def kept_view(
    layers: Contents,
    diff_ids: Sequence[Digest],
    scratch: str,
    ownership: Callable[[View], Ownership] = lambda _: Ownership(),
) -> Iterator[View]:
    """The image of `diff_ids` with what `Snapshotter.kept` has in `scratch`: overlay's changes, or a tree.

    The folder is only read. A process that still runs in it may change what is being read. The calling
    process must be able to read it, see `runtime.modes.enter_as_user`. `ownership`, of the image, is for the
    single-id mode.
    """
    view = View(layers, diff_ids)
    is_overlay = os.path.isdir(f"{scratch}/upper")
    top = f"{scratch}/upper" if is_overlay else f"{scratch}/root"
    if not os.path.isdir(top):
        yield view  # nothing has been mounted yet
        return
    try:
        folders = Folders(top, make=False)
    except OSError as error:
        raise WherryError(f"cannot read {top}: {error.strerror}") from None
    with folders:
        try:
            if is_overlay:
                changed = scan(
                    folders, view, stub_of(view), current_form(), ownership=ownership(view)
                ).entries
                below: Sequence[Digest] = diff_ids
            else:
                changed = scan(folders, View(layers, ()), stub_of(view), Told()).entries
                below = ()
        except OSError as error:
            name = f"{error.filename!r}: " if isinstance(error.filename, str) else ""
            raise WherryError(f"cannot read what a container changed: {name}{error.strerror}") from None
        yield View(_WithChanges(layers, folders, changed), (*below, _TOP))


class Vanished(NotFound):
    """A file that a running process has removed since the folder was read."""


class _WithChanges:
    """Layers, and the folder of changes as one more."""

    def __init__(self, layers: Contents, folders: Folders, changed: tuple[Entry, ...]) -> None:
        self._layers = layers
        self._folders = folders
        # The names of one file are told by its place in the stream, and here there is none.
        places = (
            entry._replace(offset=number) if entry.kind == FILE else entry
            for number, entry in enumerate(changed)
        )
        self._top = Layer(_TOP, 0, tuple(places))

    def index(self, diff_id: Digest) -> Layer:
        return self._top if diff_id == _TOP else self._layers.index(diff_id)

    def open_file(self, diff_id: Digest, entry: Entry) -> BinaryIO:
        if diff_id != _TOP:
            return self._layers.open_file(diff_id, entry)
        return open_exactly(self._folders, entry)


def open_exactly(folders: Folders, entry: Entry) -> BinaryIO:
    """As many bytes of a file in `folders` as `entry` says, whatever a process does to it meanwhile.

    Vanished where there is no such file any more.
    """
    try:
        folder, name = folders.parent(entry.path)
        file = open(_opened(folder, name), "rb", buffering=0)  # noqa: SIM115 - the caller's
    except (FileNotFoundError, NotADirectoryError):
        raise Vanished(f"{entry.path!r} has been removed meanwhile") from None
    except OSError as error:
        raise WherryError(f"cannot read {entry.path!r}: {error.strerror}") from None
    return cast(BinaryIO, Exactly(file, entry.size))


def _opened(folder: int, name: str) -> int:
    """FileNotFoundError where there is no file any more.

    A container's root may put a node there, of a disk or of a watchdog. Outside of its mounts such a node
    is the device, and to open it is enough for some to act.
    """
    held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise FileNotFoundError(name)
        return os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(held)
