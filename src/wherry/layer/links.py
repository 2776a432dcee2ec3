"""Symbolic links followed in a tree of entries, as if its root were the whole file system."""

from __future__ import annotations

from collections.abc import Callable

from wherry.base.errors import WherryError
from wherry.layer.entry import SYMLINK, Entry

MAX_LINKS = 40
"""Links followed in one path, as in the kernel (path_resolution(7))."""


def resolve(path: str, lookup: Callable[[str], Entry | None], tree: str, *, follow_last: bool = True) -> str:
    """`path` without symbolic links and dots; `lookup` gives what is at a path of the tree, no link followed.

    `..` at the root stays there. What does not exist is taken as it is written, so that something can be
    made at the place found. `tree` is what errors call it; WherryError after 40 links.
    """
    done: list[str] = []
    pending = parts(path)
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        if not pending and not follow_last:
            break
        entry = lookup("/".join(done))
        if entry is None or entry.kind != SYMLINK:
            continue
        links += 1
        if links > MAX_LINKS:
            raise WherryError(f"too many symbolic links in {path!r} of {tree}")
        done = [] if entry.link.startswith("/") else done[:-1]
        pending.extend(parts(entry.link))
    return "/".join(done)


def parts(path: str) -> list[str]:
    """The parts of a path, the first one last; empty ones and single dots left out."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
