"""What `--exclude` and `--parents` make of a tree: which of its entries are meant, and by which names.

Both kinds of patterns are those of ignore files: they hold for all that lies below what they match. Excluded
paths are relative to the source that is copied; one that is a file goes by its last name (Dockerfile
reference, "COPY --exclude").
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from wherry.build.files import Files, is_wild, select
from wherry.dockerfile.ignore import Patterns
from wherry.layer.entry import DIRECTORY, Entry

Named = tuple[str, Entry]


def below(files: Files, folder: str, excluded: Patterns | None) -> Iterator[Named]:
    """The content of `folder` by names relative to it, less what is excluded."""
    entries = ((_relative(entry, folder), entry) for entry in files.walk(folder))
    return entries if excluded is None else _kept(entries, lambda name: not excluded.excludes(name))


def with_parents(files: Files, pattern: str, excluded: Patterns | None) -> list[Named] | None:
    """What `COPY --parents` of `pattern` means, the folders on the way first; None: no folder to start from.

    Names begin at the root, or behind the first `/./` (Dockerfile reference, "COPY --parents"). No link is
    followed behind that place, since a link could not be a parent in the copy.
    """
    start, pivot, rest = pattern.partition("/./")
    wanted = posixpath.normpath("/" + (rest if pivot else pattern)).lstrip("/")
    folders = [source.entry for source in select(files, (start if pivot else "/",))]
    found: list[Named] = []
    for folder in folders:
        if folder.kind == DIRECTORY:
            found += _matching(files, folder.path, wanted, excluded)
    if not found and not is_wild(pattern):
        raise files.missing(pattern)
    return found if folders else None


def _matching(files: Files, root: str, wanted: str, excluded: Patterns | None) -> Iterator[Named]:
    """Entries below the folder `root` that `wanted` matches, or that lie in what it matches."""
    if not wanted:
        return below(files, root, excluded)
    # What a ! means in an ignore file is no part of a source's name.
    meant = Patterns([f"\\{wanted}" if wanted.startswith("!") else wanted])

    def keeps(name: str) -> bool:
        return meant.excludes(name) and not (excluded and excluded.excludes(name))

    way = _way(files, root, wanted)
    if way is None:
        return iter(())
    last = way[-1][1].path if way else root
    inside = files.walk(last) if not way or way[-1][1].kind == DIRECTORY else ()
    return _kept(chain(way, ((_relative(entry, root), entry) for entry in inside)), keeps)


def _way(files: Files, root: str, wanted: str) -> list[Named] | None:
    """The entries of the parts before the first wildcard: nothing else has to be walked. None: not there."""
    way: list[Named] = []
    name = ""
    for part in wanted.split("/"):
        if is_wild(part):
            break
        if way and way[-1][1].kind != DIRECTORY:
            return None
        name = posixpath.join(name, part)
        entry = files.lookup(posixpath.join(root, name))
        if entry is None:
            return None
        way.append((name, entry))
    return way


def _kept(entries: Iterable[Named], keeps: Callable[[str], bool]) -> Iterator[Named]:
    """Entries that are kept, and the folders that they lie in; `entries` has parents first."""
    folders: list[Named] = []
    for name, entry in entries:
        while folders and not name.startswith(folders[-1][0] + "/"):
            folders.pop()
        if keeps(name):
            yield from folders
            folders.clear()
            yield name, entry
        elif entry.kind == DIRECTORY:
            folders.append((name, entry))


def _relative(entry: Entry, folder: str) -> str:
    return entry.path[len(folder) + 1 :] if folder else entry.path
