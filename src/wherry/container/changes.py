"""What a container changed in its image: its mounts aside, they are not the container's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.prepare import mountpoints
from wherry.layer.entry import OPAQUE, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.runtime import users
from wherry.runtime.init import linux
from wherry.snapshot import altered as snapshots
from wherry.snapshot.altered import Altered
from wherry.snapshot.ownership import Ownership, read_journal
from wherry.snapshot.view import View
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


def changes(entries: Sequence[Entry], lower: View) -> list[Change]:
    """What `docker diff` lists, by path: of what is removed only the uppermost, of what is new everything,
    and the folders above what is changed."""
    own = {entry.path for entry in entries}
    found = []
    for entry in entries:
        path = entry.path
        if entry.kind == WHITEOUT:
            found.append(Change(DELETED, path))
        elif entry.kind == OPAQUE:
            below = (f"{path}/{name}" if path else name for name in lower.children(path))
            found += [Change(DELETED, name) for name in below if name not in own]
        elif path:
            found.append(Change(CHANGED if lower.lookup(path) else ADDED, path))
    found.sort(key=lambda change: change.path.split("/"))
    return [change._replace(path=f"/{change.path}") for change in found]
