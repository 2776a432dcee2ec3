"""What a COPY copies, and its digest: all that a record's key needs, without touching the parent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import narrowing
from wherry.build.contenthash import TreeHash
from wherry.build.files import Files, Source, Trees, select
from wherry.build.step import Copy, Remote
from wherry.build.times import Times
from wherry.dockerfile.ignore import Patterns
from wherry.layer.entry import DIRECTORY, FILE, Entry

FIXED = Times()


class Item(NamedTuple):
    """`name` is the path below the target. `entry.path` is where its content lies in the source tree;
    `data` is the content of a here-document instead."""

    name: str
    entry: Entry
    data: bytes | None = None
    named: bool = False
    """A source of its own, not something in a folder that is: ADD unpacks only these."""
    origin: str = ""
    """The source that was fetched and has it; "" for the context or the stage that is copied from."""

    def mtime(self, times: Times) -> int:
        """The time of the copy. What is written in the Dockerfile, or was fetched, has none of its own."""
        has_own = self.data is None and not self.origin
        return times.of(self.entry.mtime) if has_own else times.fixed

    @property
    def has_no_digest(self) -> bool:
        return self.entry.kind == FILE and not self.entry.digest


class Gathered(NamedTuple):
    """`lone`: a single file is meant, which the target may give another name; `nothing`: no wildcard matched,
    which is not the same as an empty folder."""

    items: tuple[Item, ...]
    lone: bool = False
    nothing: bool = False


def gather(operation: Copy, trees: Trees) -> Gathered:
    """All that the operation copies. A folder means its content (Dockerfile reference, "COPY")."""
    selected = _Selected(operation)
    remotes = {remote.text: remote for remote in operation.remotes}
    for pattern in operation.patterns:
        if pattern in remotes:
            selected.fetched(remotes[pattern], trees.of(pattern))
        elif operation.parents:
            selected.with_parents(trees.files, pattern)
        else:
            selected.plain(trees.files, pattern)
    for item in _inline(operation):
        selected.enter(item)
    return selected.gathered()


class _Selected:
    """What is selected, by name, as the sources are gone through."""

    def __init__(self, operation: Copy) -> None:
        self._operation = operation
        self._excluded = Patterns(operation.excludes) if operation.excludes else None
        self._items: dict[tuple[str, int], Item] = {}
        self._files = 0
        self._folders = 0

    def plain(self, files: Files, pattern: str) -> None:
        for source in select(files, (pattern,)):
            self._source(source, files, Item("", source.entry, named=True))

    def fetched(self, remote: Remote, files: Files) -> None:
        """The one file of a URL, or the content of a repository."""
        for name in [""] if remote.is_git else files.names(""):
            entry = files.lookup(name)
            assert entry is not None
            self._source(Source(name, entry), files, Item("", entry, named=remote.unpack, origin=remote.text))

    def with_parents(self, files: Files, pattern: str) -> None:
        found = narrowing.with_parents(files, pattern, self._excluded)
        if found is None:
            return
        self._folders += 1
        for name, entry in found:
            self.enter(Item(name, entry))

    def _source(self, source: Source, files: Files, like: Item) -> None:
        if source.entry.kind == DIRECTORY:
            self._folders += 1
            for name, entry in narrowing.below(files, source.entry.path, self._excluded):
                self.enter(Item(name, entry, origin=like.origin))
        elif self._excluded is None or not self._excluded.excludes(source.name):
            self._files += 1
            self.enter(like._replace(name=source.name))

    def enter(self, item: Item) -> None:
        """Of two files for one name the later one counts; a file does not take a folder's place.

        A source that may be an archive takes no name before that is known: placing it will tell.
        """
        if self._operation.unpack and item.named:
            self._items[item.name, self._files] = item
            return
        earlier = self._items.get((item.name, 0))
        if earlier is not None:
            refuse_two(earlier, item)
        self._items[item.name, 0] = item

    def gathered(self) -> Gathered:
        inline = len(self._operation.inline)
        lone = not self._folders and self._files + inline == 1
        nothing = not (self._folders or self._files or inline)
        return Gathered(tuple(self._items.values()), lone, nothing)


def refuse_two(earlier: Item, later: Item) -> None:
    refuse_clash(f"{later.name!r}, which another source gives too,", earlier.entry, later.entry)


def refuse_clash(what: str, there: Entry, copied: Entry) -> None:
    if (there.kind == DIRECTORY) != (copied.kind == DIRECTORY):
        kinds = ("a folder", "no folder") if there.kind == DIRECTORY else ("no folder", "a folder")
        raise WherryError(f"cannot copy to {what}: it is {kinds[0]} there, and {kinds[1]} is copied")


def _inline(operation: Copy) -> Iterator[Item]:
    for name, text in operation.inline:
        data = text.encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(data).digest()
        yield Item(name, Entry(name, FILE, 0o644, size=len(data), digest=digest), data)


def content_of(gathered: Gathered, unpack: bool = False, times: Times = FIXED) -> str:
    """The digest of what is copied; every regular file's entry must have its own by now.

    With `unpack` it says too which files may be unpacked: ADD of an archive is not ADD of a folder with one.
    """
    digest = TreeHash()
    first: dict[str, str] = {}
    for item in gathered.items:
        entry = item.entry
        link = entry.link
        if link and entry.kind == FILE:
            # What `link` says is the source tree's own affair; which files are one is not.
            name = first.setdefault(link, item.name)
            link = "" if name == item.name else name
        digest.add(item.name, entry, link, item.mtime(times) if times.keeps else None)
    kind = "file" if gathered.lone else "nothing" if gathered.nothing else "tree"
    if not unpack:
        return f"{kind} {digest.hexdigest()}"
    named = ",".join(str(number) for number, item in enumerate(gathered.items) if item.named)
    return f"{kind} {digest.hexdigest()} {hashlib.sha256(named.encode()).hexdigest()}"


def unknown_bytes(gathered: Gathered) -> int | None:
    """Bytes of the files whose digest is not known; None where every digest is."""
    unknown = [item.entry.size for item in gathered.items if item.has_no_digest]
    return sum(unknown) if unknown else None


def with_digests(gathered: Gathered, trees: Trees) -> Gathered:
    """Every regular file's digest filled in, read if need be."""

    def filled(item: Item) -> Item:
        digest = trees.of(item.origin).hash_file(item.entry.path)
        return item._replace(entry=item.entry._replace(digest=digest))

    return gathered._replace(
        items=tuple(filled(item) if item.has_no_digest else item for item in gathered.items)
    )
