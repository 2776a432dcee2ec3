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

HEAD = 16
"""Bytes of a file that say all of this."""


class Sources(NamedTuple):
    """What a step left of Python's sources."""

    clamped: Mapping[str, tuple[int, int]]
    """Of each file whose time the layer limits: the time it had, and the one it gets; seconds."""
    present: Set[str]
    """The sources that are there after the step, among those that bytecode of the step could have."""
    bytecode: Set[str] = frozenset()
    """The files to be corrected."""


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
            header = file.read(HEAD)
        if (offset := _offset_of_time(header)) >= 0:
            times.add(int.from_bytes(header[offset : offset + 4], "little"))
    return times


def follow(descriptor: int, path: str, sources: Sources, clamp: int) -> None:
    """As `corrected`, of the file `path`, open for reading and writing."""
    head = os.pread(descriptor, HEAD, 0)
    wanted = corrected(head, path, sources, clamp)
    if wanted != head:
        os.pwrite(descriptor, wanted, 0)


def corrected(head: bytes, path: str, sources: Sources, clamp: int) -> bytes:
    """The first `HEAD` bytes of the file `path`, with the time that is recorded there as it has to be.

    It is another one where the recorded time is the source's, which is limited; and where there is no source
    (any more), so that the same step writes the same bytes on another day. Bytecode that was out of date
    already stays so.
    """
    offset = _offset_of_time(head)
    if offset < 0:
        return head
    recorded = int.from_bytes(head[offset : offset + 4], "little")
    source = source_of(path)
    if source in sources.clamped:
        old, new = sources.clamped[source]
    elif source not in sources.present and recorded > clamp:
        old, new = recorded, clamp
    else:
        return head
    if recorded != old & _MASK:
        return head
    return head[:offset] + (new & _MASK).to_bytes(4, "little") + head[offset + 4 :]


def _offset_of_time(header: bytes) -> int:
    """Where the source's time is recorded; -1 where there is none, or where this is no bytecode."""
    if len(header) < HEAD or header[2:4] != b"\r\n":
        return -1
    magic = int.from_bytes(header[:2], "little")
    if magic in _PYTHON_2:
        return 4
    if magic not in _PYTHON_3:
        return -1
    if magic < _FIRST_WITH_FLAGS:
        return 4
    return 8 if header[4:8] == bytes(4) else -1
