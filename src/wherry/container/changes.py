"""What a container changed in its image: its mounts aside, they are not the container's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.prepare import mountpoints
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, OPAQUE, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.pipe import BLOCK
from wherry.oci.digest import Digest
from wherry.runtime import users
from wherry.runtime.init import linux
from wherry.snapshot import altered as snapshots
from wherry.snapshot.altered import Altered
from wherry.snapshot.kept import Vanished, open_exactly
from wherry.snapshot.ownership import Ownership, read_journal
from wherry.snapshot.scan import SECOND, same_face
from wherry.snapshot.view import Found, View
from wherry.store.store import Store

ADDED, CHANGED, DELETED = "A", "C", "D"


class Change(NamedTuple):
    """`kind` is docker's letter; `path` is absolute."""

    kind: str
    path: str


@contextmanager
def altered(store: Store, container: Container, clamp: int | None = None) -> Iterator[Altered | None]:
    """See `snapshot.altered.altered`. Nobody starts or removes the container meanwhile.

    The process must be in the container's mode (`Spec.isolation`): that says how changes are written down.
    """
    spec = container.spec
    view = View(Layers(store), store.images.get(Digest(spec.image)).config.diff_ids)
    with (
        container.folder.locked(),
        snapshots.altered(
            view,
            container.folder.file("root"),
            mountpoints=mountpoints(store.root, spec),
            clamp=clamp,
            ownership=ownership(container, view),
        ) as found,
    ):
        yield found


def ownership(container: Container, image: View) -> Ownership:
    """Whose the container's files are where they cannot say it."""
    passwd, group = image.read_if_there("etc/passwd"), image.read_if_there("etc/group")
    user = users.find(container.spec.user, passwd, group)
    journal = read_journal(container.folder.file("owners"))
    return Ownership(user.uid, user.gid, journal, linux.identity)


def changes(found: Altered) -> list[Change]:
    """What `docker diff` lists, by path: of what is removed only the uppermost, of what is new everything,
    and the folders above what is changed."""
    lower, own = found.lower, {entry.path: entry for entry in found.found.entries if entry.kind != OPAQUE}
    listed: dict[str, str] = {}
    for entry in found.found.entries:
        path = entry.path
        if entry.kind == OPAQUE:
            listed |= dict.fromkeys(_hidden(lower, path, own), DELETED)
        elif entry.kind == WHITEOUT:
            listed[path] = DELETED
        elif path:
            before = lower.lookup(path)
            if before is None:
                listed[path] = ADDED
            elif not _is_same(found, own.get(entry.link, entry) if entry.kind == HARDLINK else entry, before):
                listed[path] = CHANGED
    for path in list(listed):
        while path := path.rpartition("/")[0]:
            listed.setdefault(path, CHANGED)
    return [Change(listed[path], f"/{path}") for path in sorted(listed, key=lambda path: path.split("/"))]


def _hidden(lower: View, folder: str, own: Mapping[str, Entry]) -> Iterator[str]:
    """What the image has in a folder, and the opaque one in its place has not.

    Overlay marks only that one: folders made in it hide those of the image in the same way.
    """
    for name in lower.children(folder):
        path = f"{folder}/{name}" if folder else name
        if path not in own:
            yield path
        elif own[path].kind == DIRECTORY:
            yield from _hidden(lower, path, own)


def _is_same(found: Altered, entry: Entry, before: Found) -> bool:
    """Whether it is in the changes though it is as it was: a folder above others, a file that got another
    name, or was made anew in a new folder."""
    old = before.entry
    if entry.kind != old.kind or not same_face(entry, old):
        return False
    if entry.kind == DIRECTORY:
        return True
    if (entry.mtime // SECOND, entry.size, entry.link, entry.device) != (
        old.mtime // SECOND,
        old.size,
        old.link,
        old.device,
    ):
        return False
    if entry.kind != FILE:
        return True
    return _digest(found, entry) == old.digest


def _digest(found: Altered, entry: Entry) -> bytes:
    """Of a file; none where it is gone by now."""
    digest = hashlib.sha256()
    try:
        with open_exactly(found.folders, entry) as file:
            while data := file.read(BLOCK):
                digest.update(data)
    except Vanished:
        return b""
    return digest.digest()
