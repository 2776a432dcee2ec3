"""What is other in the layers of two executions of one step, path by path, and what mostly causes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from wherry.base.tuples import NamedTuple
from wherry.build import causes, insides
from wherry.layer.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest

_KINDS = {
    FILE: "a file",
    DIRECTORY: "a folder",
    SYMLINK: "a link",
    HARDLINK: "a hard link",
    CHARACTER: "a device",
    BLOCK: "a device",
    FIFO: "a pipe",
    WHITEOUT: "removed",
}
_READABLE = 0o004
_SECOND = 1_000_000_000


class Differing(NamedTuple):
    """A path of a layer, what of it differs, and the usual cause; "" where that is not known."""

    path: str
    what: tuple[str, ...]
    cause: str = ""


def differing(
    layers: Layers, one: Digest | None, other: Digest | None, *, quotes: bool = True
) -> list[Differing]:
    """The paths that are not the same in both layers, in order; of what only one of them has, the topmost.

    `quotes` lets what differs in a file be shown, if everybody may read the file in the image: a private key
    is nothing for a log.
    """
    old, new = (_entries(layers, diff_id) for diff_id in (one, other))
    found = []
    alone = ""
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if a is None or b is None:
            if not (alone and key[0].startswith(alone)):
                alone = f"{key[0]}/"
                found.append(_alone(key, is_first=b is None))
        elif texts := tuple(_texts(layers, (one, a), (other, b), quotes)):
            found.append(Differing(key[0], texts, causes.cause(key[0], " ".join(texts))))
    if not found:
        found.append(Differing("", ("the same files, in another order or form of the archive",)))
    return found


Key = tuple[str, bool]
"""A path, and whether it is about what an opaque folder hides."""


def _entries(layers: Layers, diff_id: Digest | None) -> dict[Key, Entry]:
    if diff_id is None:
        return {}
    return {(entry.path, entry.kind == OPAQUE): entry for entry in layers.index(diff_id).entries}


def _alone(key: Key, *, is_first: bool) -> Differing:
    path, is_mark = key
    when = "the first time" if is_first else "the second time"
    what = f"hides what lower layers have in it only {when}" if is_mark else f"only {when}"
    return Differing(path, (what,), causes.cause(path, ""))


def _texts(
    layers: Layers, one: tuple[Digest | None, Entry], other: tuple[Digest | None, Entry], quotes: bool
) -> Iterator[str]:
    a, b = one[1], other[1]
    if a.kind != b.kind:
        yield f"{_KINDS.get(a.kind, a.kind)}, then {_KINDS.get(b.kind, b.kind)}"
        return
    if a.kind == FILE and a.digest != b.digest:
        yield _content(layers, one, other, quotes=quotes and bool(a.mode & b.mode & _READABLE))
    pairs = (
        ("link to", a.link, b.link),
        ("device", "{}:{}".format(*a.device), "{}:{}".format(*b.device)),
        ("mode", f"{a.mode:o}", f"{b.mode:o}"),
        ("owner", f"{a.uid}:{a.gid}", f"{b.uid}:{b.gid}"),
        ("attributes", _attributes(a), _attributes(b)),
        ("time", _time(a), _time(b)),
    )
    yield from (f"{what} {first}, then {second}" for what, first, second in pairs if first != second)


def _content(
    layers: Layers, one: tuple[Digest | None, Entry], other: tuple[Digest | None, Entry], *, quotes: bool
) -> str:
    assert one[0] is not None and other[0] is not None
    with closing(layers.open_file(one[0], one[1])) as a, closing(layers.open_file(other[0], other[1])) as b:
        inside = insides.difference(a, b)
    text = f"content, {inside if quotes else inside.place}"
    sizes = one[1].size, other[1].size
    return text if sizes[0] == sizes[1] else f"{text} ({sizes[0]:,} bytes, then {sizes[1]:,})"


def _attributes(entry: Entry) -> str:
    return " ".join(f"{name}={value.hex()}" for name, value in entry.xattrs) or "none"


def _time(entry: Entry) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.mtime // _SECOND))
