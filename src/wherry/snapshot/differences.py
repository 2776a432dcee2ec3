"""What differs between two root filesystems, by the indexes of the layers that they have not in common.

Times are not compared (docs/cache.md, "What is compared"): two builds of the same content differ in them.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.layer.entry import FILE, Entry
from wherry.snapshot.names import LayerNames
from wherry.snapshot.unlike import told
from wherry.snapshot.view import View

FACE = 1
"""Whether there is something at a path; its kind, mode, owner and extended attributes."""
NAMES = 2
"""The names in a folder, and of what kind each is: getdents(2) tells both."""
CONTENT = 4
"""A file's bytes and the other names that it has, a link's target, a device's number."""
ALL = FACE | NAMES | CONTENT


def differences(old: View, new: View) -> dict[str, int]:
    """The paths at which the two are not the same, and in what: FACE, NAMES, CONTENT or several of them.

    Every path that differs is there, also those below a folder that only one of them has.
    """
    found: dict[str, int] = {}
    for path in _candidates(old, new):
        difference = _difference(old, new, path)
        if not difference:
            continue
        found[path] = found.get(path, 0) | difference
        if path and difference == ALL:
            folder = path.rpartition("/")[0]
            found[folder] = found.get(folder, 0) | NAMES
    return found


def _candidates(old: View, new: View) -> Iterable[str]:
    """All paths of which the two are told different things, and what these may hide or show below them."""
    paths: dict[str, None] = {}
    for path, hides in told(old.diff_ids, new.diff_ids, old.cache):
        paths[path] = None
        if hides:
            for view in (old, new):
                paths.update((found.entry.path, None) for found in view.walk(path))
    return paths


def _difference(old: View, new: View, path: str) -> int:
    before, after = old.lookup(path), new.lookup(path)
    if before is None or after is None:
        return 0 if before is after else ALL
    if before == after:
        return 0
    a, b = before.entry, after.entry
    if a.kind != b.kind:
        return ALL
    difference = 0 if _face(a) == _face(b) else FACE
    names = old.cache.of(before.diff_id) if before.diff_id else None
    others = new.cache.of(after.diff_id) if after.diff_id else None
    if _content(a, names) != _content(b, others):
        difference |= CONTENT
    return difference


def ways(old: View, new: View, path: str, bits: int = ALL) -> tuple[str, ...]:
    """In what a path differs, for people, as far as `bits` ask: new, removed, kind, content, link, device,
    hard links, mode, owner, attributes. Nothing of the names in a folder."""
    before, after = old.lookup(path), new.lookup(path)
    if before is None or after is None:
        return () if before is after else ("new",) if before is None else ("removed",)
    a, b = before.entry, after.entry
    if a.kind != b.kind:
        return ("kind",)
    found = []
    if bits & CONTENT and a.link != b.link and a.kind != FILE:
        found.append("link")
    elif bits & CONTENT and (a.size, a.digest, a.device) != (b.size, b.digest, b.device):
        found.append("content" if a.kind == FILE else "device")
    elif bits & CONTENT and _difference(old, new, path) & CONTENT:
        found.append("hard links")
    if bits & FACE:
        found += [
            word
            for word, one, other in (
                ("mode", a.mode, b.mode),
                ("owner", (a.uid, a.gid), (b.uid, b.gid)),
                ("attributes", a.xattrs, b.xattrs),
            )
            if one != other
        ]
    return tuple(found)


def _face(entry: Entry) -> tuple[object, ...]:
    return (entry.mode, entry.uid, entry.gid, entry.xattrs)


def _content(entry: Entry, layer: LayerNames | None) -> tuple[object, ...]:
    """Names that share a file are part of it: what is told by `ls -i`, and what tar and cp keep."""
    shared = layer.shared.get(entry.path, ()) if layer is not None and entry.kind == FILE else ()
    return (entry.size, entry.digest, entry.link, entry.device, shared)
