"""Folders that a step makes on the way to its target, and what is there already."""

from __future__ import annotations

from wherry.base.errors import WherryError
from wherry.layer.entry import DIRECTORY, Entry
from wherry.runtime import users
from wherry.snapshot.view import View


def folders_to(view: View, path: str, uid: int, gid: int, mtime: int) -> list[Entry]:
    """Entries for `path` and the folders above it, the root left out, `path` resolved already.

    Folders that the parent has stand in the layer as they are there: a tree that lacks them would be
    extracted with made-up modes that hide theirs. Missing ones are made with mode 755.
    """
    entries: list[Entry] = []
    parts = [part for part in path.split("/") if part]
    for count in range(1, len(parts) + 1):
        current = "/".join(parts[:count])
        found = view.lookup(current)
        if found is None:
            entries.append(Entry(current, DIRECTORY, 0o755, uid, gid, mtime))
        elif found.entry.kind == DIRECTORY:
            entries.append(found.entry._replace(path=current))
        else:
            raise WherryError(f"/{current} is not a folder in the image")
    return entries


def owner_ids(view: View, owner: str) -> tuple[int, int]:
    """`user`, `user:group`, names or numbers, names looked up in the image.

    A number alone is its own group (Dockerfile reference, "COPY --chown"), unlike in USER.
    """
    if not owner:
        return (0, 0)
    if owner.isascii() and owner.isdigit():
        owner = f"{owner}:{owner}"
    user = users.find(owner, view.read_if_there("etc/passwd"), view.read_if_there("etc/group"))
    return (user.uid, user.gid)
