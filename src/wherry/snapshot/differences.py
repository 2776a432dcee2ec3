"""What differs between two root filesystems, by the indexes of the layers that they have not in common.

Times are not compared (docs/cache.md, "What is compared"): two builds of the same content differ in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.oci.digest import Digest
from wherry.snapshot.names import LayerNames
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


def unlike(old: Sequence[Digest], new: Sequence[Digest]) -> tuple[list[Digest], list[Digest]]:
    """The layers of each chain that are not in both, or not in the same order in both.

    A path of which no such layer says anything, and of which none hides anything above, is decided by the
    same layers in the same order on both sides.
    """
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    common = _common(old[start:], new[start:])
    return _without(old[start:], common), _without(new[start:], common)


def _common(old: Sequence[Digest], new: Sequence[Digest]) -> list[Digest]:
    """The longest sequence that both have (not in one piece)."""
    best: list[list[int]] = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            equal = old[i] == new[j]
            best[i][j] = best[i + 1][j + 1] + 1 if equal else max(best[i + 1][j], best[i][j + 1])
    common: list[Digest] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            common.append(old[i])
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return common


def _without(chain: Sequence[Digest], common: Sequence[Digest]) -> list[Digest]:
    rest = iter(common)
    expected = next(rest, None)
    left = []
    for diff_id in chain:
        if diff_id == expected:
            expected = next(rest, None)
        else:
            left.append(diff_id)
    return left


def _candidates(old: View, new: View) -> Iterable[str]:
    """All paths of which a layer says something that only one side has, or has in that place."""
    paths: dict[str, None] = {}
    for diff_id in dict.fromkeys(layer for side in unlike(old.diff_ids, new.diff_ids) for layer in side):
        layer = old.cache.of(diff_id)
        paths.update(dict.fromkeys(layer.entries))
        for top in _hiding(layer):
            for view in (old, new):
                paths.update((found.entry.path, None) for found in view.walk(top))
    return paths


def _hiding(layer: LayerNames) -> Iterator[str]:
    """The paths below which the layer hides what lower ones have. A folder of it shows what lies below."""
    yield from layer.hiding
    yield from (path for path, entry in layer.entries.items() if entry.kind != DIRECTORY)


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
