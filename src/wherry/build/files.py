"""Where COPY and ADD take files from: a build context, or the snapshot of another stage or image.

Both are a tree of entries whose paths are relative to the tree's root. Names never lead out of it: links are
followed inside, as if the tree were the whole file system, and `..` at the top stays there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer import links
from wherry.layer.entry import DIRECTORY, Entry

if TYPE_CHECKING:
    from wherry.layer.writer import Readable


class Files(Protocol):
    """A tree to copy from.

    A regular file's entry has its digest where that is known without reading. Its `link`, where it has one,
    is the same for all entries that are hard links of each other.
    """

    label: str
    """For messages: `the build context`, `stage 'builder'`."""

    def lookup(self, path: str) -> Entry | None:
        """The entry of `path`, a link itself rather than what it points to."""

    def names(self, path: str) -> list[str]:
        """Sorted names in the folder `path`."""

    def walk(self, path: str) -> Iterator[Entry]:
        """The folder `path`'s content without itself: parents first, names sorted."""

    def open(self, path: str) -> AbstractContextManager[Readable | int]:
        """A regular file's content from its beginning: what has a `read`, or a descriptor."""

    def hash_file(self, path: str) -> bytes:
        """The sha256 of a regular file's content, read if need be."""

    def learn(self, path: str, content: Readable | int, digest: bytes, read_at: int) -> None:
        """Remember the digest of what `open` gave and was read whole; `read_at`: nanoseconds, from before."""

    def missing(self, pattern: str) -> NotFound:
        """The error for a source that there is not."""


_NOTHING: Mapping[str, Files] = MappingProxyType({})


class Trees(NamedTuple):
    """What one COPY or ADD takes from: `files`, and the tree of each source that was fetched, by its text."""

    files: Files
    fetched: Mapping[str, Files] = _NOTHING

    def of(self, origin: str) -> Files:
        """The tree that an item is from, by its `origin` (gather.py)."""
        return self.fetched[origin] if origin else self.files


class Source(NamedTuple):
    """One thing that a pattern means: `name` is its last part as written, for the copy's name."""

    name: str
    entry: Entry


def select(files: Files, patterns: tuple[str, ...]) -> list[Source]:
    """What the sources of a COPY mean, links followed; a wildcard may match nothing, a plain name may not."""
    selected: list[Source] = []
    for pattern in patterns:
        selected.extend(_matches(files, pattern))
    return selected


def follow(files: Files, path: str) -> Entry | None:
    """The entry at `path` with links followed inside the tree; its `path` is where it really lies."""
    return files.lookup(links.resolve(path, files.lookup, files.label))


def _matches(files: Files, pattern: str) -> Iterator[Source]:
    clean = posixpath.normpath("/" + pattern).lstrip("/")
    if not is_wild(clean):
        entry = follow(files, clean)
        if entry is None:
            raise files.missing(pattern)
        yield Source(posixpath.basename(clean), entry)
        return
    for path in _expand(files, "", clean.split("/")):
        entry = follow(files, path)
        if entry is not None:
            yield Source(posixpath.basename(path), entry)


def _expand(files: Files, folder: str, parts: list[str]) -> Iterator[str]:
    """Names that match `parts`, one after the other, below `folder`."""
    part, rest = parts[0], parts[1:]
    base = follow(files, folder)
    if base is None or base.kind != DIRECTORY:
        return
    candidates = filter(_component(part).fullmatch, files.names(base.path)) if is_wild(part) else [part]
    for name in candidates:
        path = f"{folder}/{name}" if folder else name
        if rest:
            yield from _expand(files, path, rest)
        elif files.lookup(f"{base.path}/{name}" if base.path else name) is not None:
            yield path


def is_wild(text: str) -> bool:
    """Whether the text has to be matched, not looked up; an escaped character too needs that."""
    return any(character in text for character in "*?[\\")


@lru_cache(maxsize=64)
def _component(pattern: str) -> re.Pattern[str]:
    """One part of a path as Go's `filepath.Match` has it: `*`, `?`, `[a-z]`, `[^a-z]`, and `\\`."""
    result: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            result.append("[^/]*")
        elif character == "?":
            result.append("[^/]")
        elif character == "\\" and at < len(pattern):
            result.append(re.escape(pattern[at]))
            at += 1
        elif character == "[":
            text, at = _character_class(pattern, at)
            result.append(text)
        else:
            result.append(re.escape(character))
    return re.compile("".join(result), re.DOTALL)


def _character_class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    items: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not items):
        low, at = _class_character(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _class_character(pattern, at + 1)
        if low > high:
            raise WherryError(f"bad wildcard {pattern!r}: the range {low}-{high} is empty")
        items.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(pattern):
        raise WherryError(f"bad wildcard {pattern!r}: '[' without ']'")
    return f"[{'^' if negated else ''}{''.join(items)}]", at + 1


def _class_character(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\" and at + 1 < len(pattern):
        at += 1
    return pattern[at], at + 1
