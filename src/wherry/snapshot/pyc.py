"""Compiled Python files remember their source's time; where that is limited, they must follow.

CPython's header (importlib, `_bootstrap_external.py`; PEP 552), little-endian, since 3.7: magic number,
flags, then for flags 0 the source's time in seconds and its size, 32 bits each. With other flags the file
is checked by the source's hash, or not at all. Before 3.7 there were no flags: the time came right after
the magic number. Bytecode whose recorded time is not its source's is compiled again at every start, by
every process that may not write it back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import FILE
from wherry.snapshot.view import View

_FIRST_WITH_FLAGS = 3390
"""Magic number of 3.7's first alpha. Python 3 counts up from 3000."""
_PYTHON_3 = range(3000, 20000)
_PYTHON_2 = range(60202, 62300)
"""From 2.6 on, and 2.7's last: they recorded the time alone."""
_MASK = 0xFFFF_FFFF


class Sources(NamedTuple):
    """What a step left of Python's sources."""

    clamped: Mapping[str, tuple[int, int]]
    """Of each file whose time the layer limits: the time it had, and the one it gets; seconds."""
    present: Set[str]
    """The sources that are there after the step, among those that bytecode of the step could have."""


def source_of(path: str) -> str:
    """The source of bytecode: `lib/__pycache__/a.cpython-311.pyc` and `lib/a.pyc` come from `lib/a.py`."""
    folder, slash, name = path.rpartition("/")
    if folder == "__pycache__" or folder.endswith("/__pycache__"):
        above, slash, _ = folder.rpartition("/")
        return f"{above}{slash}{name.split('.', 1)[0]}.py"
    return f"{folder}{slash}{name.removesuffix('.pyc')}.py"


def recorded_times(view: View, source: str) -> set[int]:
    """The times (seconds) that bytecode of the file `source` records in a snapshot."""
    folder, _, name = source.rpartition("/")
    stem = name.removesuffix(".py")
    cache = f"{folder}/__pycache__".lstrip("/")
    paths = [f"{cache}/{name}" for name in view.children(cache) if name.split(".", 1)[0] == stem]
    times = set()
    for path in (*paths, f"{source}c"):
        found = view.lookup(path)
        if found is None or found.entry.kind != FILE:
            continue
        with view.open(found) as file:
            header = file.read(16)
        if (offset := _offset_of_time(header)) >= 0:
            times.add(int.from_bytes(header[offset : offset + 4], "little"))
    return times


def follow(descriptor: int, path: str, sources: Sources, clamp: int) -> None:
    """Corrects the time recorded in the file `path`, open for reading and writing, where it needs it.

    It does where the recorded time is the source's, which is limited; and where there is no source (any
    more), so that the same step writes the same bytes on another day. Bytecode that was out of date already
    stays so.
    """
    offset = _offset_of_time(os.pread(descriptor, 16, 0))
    if offset < 0:
        return
    recorded = int.from_bytes(os.pread(descriptor, 4, offset), "little")
    source = source_of(path)
    if source in sources.clamped:
        old, new = sources.clamped[source]
    elif source not in sources.present and recorded > clamp:
        old, new = recorded, clamp
    else:
        return
    if recorded == old & _MASK:
        os.pwrite(descriptor, (new & _MASK).to_bytes(4, "little"), offset)


def _offset_of_time(header: bytes) -> int:
    """Where the source's time is recorded; -1 where there is none, or where this is no bytecode."""
    if len(header) < 16 or header[2:4] != b"\r\n":
        return -1
    magic = int.from_bytes(header[:2], "little")
    if magic in _PYTHON_2:
        return 4
    if magic not in _PYTHON_3:
        return -1
    if magic < _FIRST_WITH_FLAGS:
        return 4
    return 8 if header[4:8] == bytes(4) else -1
