"""Random layers for property tests, and what a folder on disk holds as plain values."""

from __future__ import annotations

import os
import stat

from hypothesis import strategies as st

from wherry.layer.entry import (
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
)
from wherry.layer.writer import Layer, LayerWriter

Contents = dict[str, bytes]
"""By path, of regular files."""

_names = st.one_of(
    st.text("abcXYZ .-_%=:", min_size=1, max_size=6),
    st.text("é한\n\t\\\"'*?", min_size=1, max_size=4),
    st.binary(min_size=1, max_size=5).map(os.fsdecode),
    st.integers(90, 255).map(lambda length: "n" * length),
).filter(lambda name: name not in (".", "..") and not {"/", "\0"} & set(name) and not name.startswith(".wh."))

_times = st.one_of(
    st.integers(0, 2**31).map(lambda seconds: seconds * 1_000_000_000),
    st.integers(-(2**31) * 1_000_000_000, 2**33 * 1_000_000_000),
)
_ids = st.one_of(st.integers(0, 65535), st.sampled_from([0o7777777, 0o7777777 + 1, 2**32 - 2]))
_xattrs = st.dictionaries(
    st.sampled_from(["user.a", "user.ü", "trusted.b", "user.long"]), st.binary(max_size=300), max_size=2
).map(lambda found: tuple(sorted(found.items())))
_contents = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([511, 512, 513, 5000, 70_000]).map(lambda size: b"0123456789abcdef" * (size // 16 + 1)),
    st.integers(0, 200_000).map(bytes),
    st.tuples(st.integers(0, 300_000), st.binary(max_size=9), st.integers(0, 300_000)).map(
        lambda made: bytes(made[0]) + made[1] + bytes(made[2])
    ),
)


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[Entry], Contents]:
    """Entries as a writer wants them (parents first, each path once), and the contents of the files."""
    folders = [""]
    entries: dict[str, Entry] = {}
    contents: Contents = {}
    for _ in range(draw(st.integers(0, 12))):
        parent, name = draw(st.sampled_from(folders)), draw(_names)
        path = f"{parent}/{name}" if parent else name
        if path in entries or len(os.fsencode(path)) > 3900:
            continue
        kind = draw(
            st.sampled_from([FILE, FILE, FILE, DIRECTORY, DIRECTORY, SYMLINK, HARDLINK, FIFO, CHARACTER])
        )
        entry = Entry(path, kind, draw(st.integers(0, 0o7777)), draw(_ids), draw(_ids), draw(_times))
        if kind == DIRECTORY:
            folders.append(path)
            entry = entry._replace(xattrs=draw(_xattrs))
        elif kind == FILE:
            contents[path] = draw(_contents)
            entry = entry._replace(size=len(contents[path]), xattrs=draw(_xattrs))
        elif kind == SYMLINK:
            target = draw(st.one_of(_names, st.sampled_from(["/etc/passwd", "../../..", "x" * 300])))
            entry = entry._replace(mode=0o777, link=target)
        elif kind == HARDLINK:
            if not contents:
                continue
            target = draw(st.sampled_from(sorted(contents)))
            entry = entries[target]._replace(path=path, kind=HARDLINK, link=target, size=0)
        elif kind == CHARACTER:
            entry = entry._replace(device=(draw(st.integers(1, 4095)), draw(st.integers(0, 2**20 - 1))))
        entries[path] = entry
    return list(entries.values()), contents


def write(entries: list[Entry], contents: Contents) -> tuple[Layer, bytes]:
    """The layer and its stream."""
    parts: list[bytes] = []
    with LayerWriter(parts.append) as writer:
        for entry in entries:
            writer.add(entry, contents.get(entry.path))
        layer = writer.finish()
    return layer, b"".join(parts)


def facts(folder: str, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """All that matters of what is in `folder`, by path; hard links by the first of their names."""
    found: dict[str, tuple[object, ...]] = {}
    names: dict[int, str] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop(0)
        full = f"{folder}/{path}"
        status = os.lstat(full)
        first = names.setdefault(status.st_ino, path) if not stat.S_ISDIR(status.st_mode) else path
        content: object = None
        if stat.S_ISREG(status.st_mode):
            with open(full, "rb") as file:
                content = file.read()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(full)
        elif stat.S_ISDIR(status.st_mode):
            waiting += sorted(f"{path}/{name}" if path else name for name in os.listdir(full))
        xattrs = [(name, os.getxattr(full, name, follow_symlinks=False)) for name in _xattrs_of(full)]
        time = status.st_mtime_ns if times else 0
        found[path] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_rdev, time),
            *(first, content, tuple(xattrs)),
        )
    found.pop("")
    return found


def _xattrs_of(path: str) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))
