"""What a COPY copies, and its digest: all that a record's key needs, without touching the parent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from wherry.base.errors import WherryError
from wherry.build import files as trees
from wherry.build.contenthash import TreeHash
from wherry.build.files import Files, Source
from wherry.build.step import Copy
from wherry.layer.entry import DIRECTORY, FILE, Entry


class Item(NamedTuple):
    """`name` is the path below the target. `entry.path` is where its content lies in the source tree;
    `data` is the content of a here-document instead."""

    name: str
    entry: Entry
    data: bytes | None = None
    named: bool = False
    """A source of its own, not something in a folder that is: ADD unpacks only these."""


class Gathered(NamedTuple):
    """`lone`: a single file is meant, which the target may give another name; `nothing`: no wildcard matched,
    which is not the same as an empty folder."""

    items: tuple[Item, ...]
    lone: bool = False
    nothing: bool = False


def gather(operation: Copy, files: Files) -> Gathered:
    """All that the operation copies. A folder means its content (Dockerfile reference, "COPY")."""
    sources = trees.select(files, operation.patterns)
    items: dict[str, Item] = {}
    for source in sources:
        for item in _items(source, files):
            _enter(items, item)
    for item in _inline(operation):
        _enter(items, item)
    lone = len(operation.inline) == 1 if not sources else _is_lone_file(sources, operation)
    return Gathered(tuple(items.values()), lone, nothing=not sources and not operation.inline)


def _is_lone_file(sources: list[Source], operation: Copy) -> bool:
    return len(sources) == 1 and not operation.inline and sources[0].entry.kind != DIRECTORY


def _items(source: Source, files: Files) -> Iterator[Item]:
    if source.entry.kind != DIRECTORY:
        yield Item(source.name, source.entry, named=True)
        return
    prefix = len(source.entry.path) + 1 if source.entry.path else 0
    for entry in files.walk(source.entry.path):
        yield Item(entry.path[prefix:], entry)


def _enter(items: dict[str, Item], item: Item) -> None:
    """Of two files for one name the later one counts; a file does not take a folder's place."""
    earlier = items.get(item.name)
    if earlier is not None:
        refuse_clash(f"{item.name!r}, which another source gives too,", earlier.entry, item.entry)
    items[item.name] = item


def refuse_clash(what: str, there: Entry, copied: Entry) -> None:
    if (there.kind == DIRECTORY) != (copied.kind == DIRECTORY):
        kinds = ("a folder", "no folder") if there.kind == DIRECTORY else ("no folder", "a folder")
        raise WherryError(f"cannot copy to {what}: it is {kinds[0]} there, and {kinds[1]} is copied")


def _inline(operation: Copy) -> Iterator[Item]:
    for name, text in operation.inline:
        data = text.encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(data).digest()
        yield Item(name, Entry(name, FILE, 0o644, size=len(data), digest=digest), data)


def content_of(gathered: Gathered) -> str:
    """The digest of what is copied; every regular file's entry must have its own by now."""
    digest = TreeHash()
    for item in gathered.items:
        digest.add(item.entry._replace(path=item.name, mtime=0, offset=-1))
    return ("file " if gathered.lone else "tree ") + digest.hexdigest()


def unknown_bytes(gathered: Gathered) -> int | None:
    """Bytes of the files whose digest is not known; None where every digest is."""
    unknown = [item.entry.size for item in gathered.items if _is_unknown(item)]
    return sum(unknown) if unknown else None


def with_digests(gathered: Gathered, digest_of: Callable[[str], bytes]) -> Gathered:
    """Every regular file's digest filled in; `digest_of` reads the file at a path of the tree."""
    return gathered._replace(
        items=tuple(
            item._replace(entry=item.entry._replace(digest=digest_of(item.entry.path)))
            if _is_unknown(item)
            else item
            for item in gathered.items
        )
    )


def _is_unknown(item: Item) -> bool:
    return item.entry.kind == FILE and not item.entry.digest
