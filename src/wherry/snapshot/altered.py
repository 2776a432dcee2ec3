"""What a container changed in its image, read where a snapshotter keeps it; and the layer that this makes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.entry import FILE, HARDLINK, Entry
from wherry.layer.folders import Folders
from wherry.layer.forms import current_form
from wherry.layer.layers import Layers
from wherry.layer.reading import Reading
from wherry.layer.writer import Layer, LayerWriter
from wherry.snapshot import pyc
from wherry.snapshot.changes import sources_of
from wherry.snapshot.compared import compared
from wherry.snapshot.kept import Vanished, open_exactly
from wherry.snapshot.ownership import Ownership
from wherry.snapshot.scan import Changes, scan
from wherry.snapshot.stub import stub_of
from wherry.snapshot.view import View


class Altered(NamedTuple):
    """`found` is what `folders` has that `lower`, the image, has not; times no later than `clamp`."""

    folders: Folders
    lower: View
    found: Changes
    clamp: int | None


@contextmanager
def altered(
    lower: View,
    scratch: str,
    *,
    mountpoints: Sequence[str] = (),
    clamp: int | None = None,
    ownership: Ownership = Ownership(),  # noqa: B008 - a frozen value
) -> Iterator[Altered | None]:
    """What `Snapshotter.kept`, given the same `mountpoints`, has in `scratch`; None where it has nothing yet.

    The folder is only read. A process that still runs in it may change what is being read. The calling
    process must be able to read it, see `runtime.modes.enter_as_user`. `ownership` is for the single-id mode.
    """
    is_overlay = os.path.isdir(f"{scratch}/upper")
    top = f"{scratch}/upper" if is_overlay else f"{scratch}/root"
    if not os.path.isdir(top):
        yield None
        return
    try:
        with Folders(top, make=False) as folders:
            form = current_form() if is_overlay else compared(folders, lower)
            found = scan(folders, lower, stub_of(lower, mountpoints), form, clamp, ownership)
            yield Altered(folders, lower, found, clamp)
    except OSError as error:
        name = f": {error.filename!r}" if error.filename else ""
        raise WherryError(f"cannot read what a container changed, {top}{name}: {error.strerror}") from None


def layer_of(layers: Layers, changed: Altered) -> Layer | None:
    """A layer of the store that makes the container's tree of its image's; None where nothing is changed.

    What a process removes while it is read is not in it.
    """
    if not changed.found.entries:
        return None
    return layers.add_tar(partial(_write, changed))


def _write(changed: Altered, writer: LayerWriter) -> None:
    sources = sources_of(changed.found, changed.lower) if changed.clamp is not None else None
    gone: dict[str, Entry] = {}
    for entry in changed.found.entries:
        if entry.kind == HARDLINK and entry.link in gone:
            entry = gone[entry.link]._replace(path=entry.path)
        if entry.kind != FILE:
            writer.add(entry)
            continue
        try:
            content = open_exactly(changed.folders, entry)
        except Vanished:
            gone[entry.path] = entry
            continue
        with content:
            if sources and changed.clamp is not None and entry.path in sources.bytecode:
                writer.add(entry, _Corrected(content, entry.path, sources, changed.clamp))
            else:
                writer.add(entry, content)


class _Corrected(Reading):
    """Bytecode that records the time that its source has in the layer."""

    def __init__(self, file: BinaryIO, path: str, sources: pyc.Sources, clamp: int) -> None:
        self._file = file
        self._head: bytes = pyc.corrected(file.read(pyc.HEAD), path, sources, clamp)

    def _some(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._file.read(size)
