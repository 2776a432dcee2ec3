"""A build context: a folder of the user's, less what its ignore file names.

The context is not trusted: it may hold links that point out of it, and may change while it is read. Folders
are opened one below the other without following links, and files beneath a descriptor of their folder.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from wherry.base.errors import NotFound, WherryError
from wherry.build import recall
from wherry.build.filedigests import (
    MODE,
    MTIME,
    SIZE,
    SIZE_OF_DIGEST,
    UNKNOWN,
    FileDigests,
    Listing,
    Stamp,
    now,
    packed,
    stamp,
)
from wherry.build.recall import Seen
from wherry.dockerfile.ignore import Patterns
from wherry.layer.entry import DIRECTORY, FIFO, FILE, SYMLINK, Entry
from wherry.layer.folders import Folders

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Context:
    """The files of a folder as COPY sees them: owner and group 0, no extended attributes; with their times.

    `label` is what messages call it. A `settled` one was fetched for this build and nobody changes it: its
    files are hashed as they are come upon, because nothing is known of them from earlier builds.
    """

    def __init__(
        self,
        root: str,
        ignored: Patterns,
        digests: FileDigests,
        label: str = "the build context",
        *,
        settled: bool = False,
    ) -> None:
        self.root = root
        self.label = label
        self.ignored = ignored
        self.digests = digests
        digests.ignored = tuple(ignored.patterns)
        self.seen = Seen()
        self._listings: dict[str, Listing] = {}
        """What `answer` has listed, for the walk that comes next where something is not as it was."""
        self._settled = settled
        self._root_fd = _open_root(root, label)
        self._open_folder: tuple[str, int] = ("", os.dup(self._root_fd))

    def lookup(self, path: str) -> Entry | None:
        found = self._status(path)
        self.seen.lookup(path, found, is_folder=_is_folder(found))
        if found is None:
            return None
        if not path:
            return Entry("", DIRECTORY, found[MODE] & 0o7777, mtime=found[MTIME])
        folder, _, name = path.rpartition("/")
        try:
            known = self.digests.get(path, found) if stat.S_ISREG(found[MODE]) else b""
            return self._entry(path, name, self._folder(folder), found, known or UNKNOWN)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None

    def _status(self, path: str) -> Stamp | None:
        """What is at a path that is not ignored, or a folder on the way to something that is kept."""
        if not path:
            return stamp(os.fstat(self._root_fd))
        excluded = self.ignored.excludes(path)
        if excluded and not self.ignored.may_keep_below(path):
            return None
        parent, _, name = path.rpartition("/")
        try:
            found = stamp(os.stat(name, dir_fd=self._folder(parent), follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None
        return None if excluded and not _is_folder(found) else found

    def names(self, path: str) -> list[str]:
        names = self._names(path)
        self.seen.names(path, names)
        return names

    def _names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self._folder(path)))
        except OSError as error:
            raise self._unreadable(path, error) from None

    def answer(self, kind: str, path: str) -> bytes:
        """What stands for the answer to one of the questions that `seen` notes."""
        if kind == recall.LOOKUP:
            found = self._status(path)
            return recall.looked_up(found, is_folder=_is_folder(found))
        if kind == recall.NAMES:
            return recall.listed(self._names(path))
        walk = Seen().walk(path)
        with Folders(f"/proc/self/fd/{self._folder(path)}", make=False) as folders:
            pending = [path]
            while pending:
                listing = self._listing(folders, path, pending.pop())
                self._listings[listing.path] = listing
                walk.listed(listing)
                pending += reversed(self._folders_in(listing))
        return walk.end()[-1]

    def walk(self, path: str) -> Iterator[Entry]:
        """Not recursive, and with few descriptors: a folder may be two thousand folders deep."""
        with Folders(f"/proc/self/fd/{self._folder(path)}", make=False) as folders:
            yield from self._walk(folders, path)

    def _walk(self, folders: Folders, top: str) -> Iterator[Entry]:
        walk = self.seen.walk(top)
        unshown: list[Entry] = []
        """Ignored folders on the way: they exist for the sake of what a later `!pattern` keeps below them."""
        way = [(iter(self._listed(folders, top, top, walk)), 0)]
        while way:
            items, above = way[-1]
            entry, excluded = next(items, (None, False))
            if entry is None:
                way.pop()
                del unshown[above:]
                continue
            if not excluded:
                yield from unshown
                unshown.clear()
                yield entry
            if entry.kind == DIRECTORY:
                way.append((iter(self._listed(folders, top, entry.path, walk)), len(unshown)))
                unshown += [entry] if excluded else []
        walk.end()

    def _listed(self, folders: Folders, top: str, path: str, walk: recall.Walk) -> list[tuple[Entry, bool]]:
        """What is in the folder `path`, and of each whether it is a folder that is ignored itself."""
        listing = self._listings.pop(path, None) or self._listing(folders, top, path)
        walk.listed(listing)
        digests = bytes(self.digests.of(listing))
        excludes = self.ignored.excludes if self.ignored.keeps_any() else None
        prefix = f"{path}/" if path else ""
        found = []
        at = 0
        try:
            folder = folders.open(path[len(top) :].lstrip("/"))
            for name, status in zip(listing.looked, listing.stamps, strict=True):
                inner, digest = prefix + name, digests[at : at + SIZE_OF_DIGEST]
                at += SIZE_OF_DIGEST
                excluded = excludes is not None and excludes(inner)
                if excluded and not stat.S_ISDIR(status[MODE]):
                    continue
                entry = self._entry(inner, name, folder, status, digest)
                if entry is not None:
                    found.append((entry, excluded))
        except OSError as error:
            raise self._unreadable(path, error) from None
        return found

    def _listing(self, folders: Folders, top: str, path: str) -> Listing:
        try:
            folder = folders.open(path[len(top) :].lstrip("/"))
            names = sorted(os.listdir(folder))
            looked = self._looked(path, names)
            stamps = list(map(stamp, map(partial(os.stat, dir_fd=folder, follow_symlinks=False), looked)))
        except OSError as error:
            raise self._unreadable(path, error) from None
        return Listing(path, names, looked, stamps, packed(stamps))

    def _looked(self, path: str, names: list[str]) -> list[str]:
        ignored = self.ignored
        if not ignored:
            return names
        looked = self.digests.looked(path, names)
        if looked is None:
            prefix = f"{path}/" if path else ""
            inner = ((name, prefix + name) for name in names)
            looked = [
                name for name, path in inner if not ignored.excludes(path) or ignored.may_keep_below(path)
            ]
        return looked

    def _folders_in(self, listing: Listing) -> list[str]:
        """The folders that a walk goes into next."""
        prefix = f"{listing.path}/" if listing.path else ""
        return [
            prefix + name
            for name, status in zip(listing.looked, listing.stamps, strict=True)
            if stat.S_ISDIR(status[MODE])
        ]

    @contextmanager
    def open(self, path: str) -> Iterator[int]:
        descriptor = self._open(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        """A descriptor of the file; a link, a socket or a folder in its place is refused."""
        folder, _, name = path.rpartition("/")
        try:
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=self._folder(folder))
        except OSError as error:
            raise self._unreadable(path, error) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise WherryError(f"{path!r} of {self.label} changed while it was read")
        return descriptor

    def hash_file(self, path: str) -> bytes:
        """The file's digest, read now and remembered."""
        import hashlib

        began = now()
        with open(self._open(path), "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            self.digests.put(path, stamp(os.fstat(file.fileno())), digest, began)
        return digest

    def learn(self, path: str, content: object, digest: bytes, read_at: int) -> None:
        if isinstance(content, int):
            self.digests.put(path, stamp(os.fstat(content)), digest, read_at)

    def save(self) -> None:
        if not self._settled:
            self.digests.save()

    def missing(self, pattern: str) -> NotFound:
        clean = posixpath.normpath(pattern.lstrip("/"))
        if clean.startswith("../") or clean == "..":
            return NotFound(
                f"{pattern!r} is outside {self.label}",
                hint="COPY sees only what lies below the context folder; build from a folder above it",
            )
        path = os.path.join(self.root, clean)
        if os.path.islink(path) and not os.path.exists(path):
            return NotFound(f"{pattern!r} is a symbolic link to {os.readlink(path)!r}, which does not exist")
        if os.path.exists(path):
            return self._hidden(pattern, clean, path)
        return NotFound(f"{pattern!r} is not in {self.label}", hint=self._suggestion(clean))

    def _hidden(self, pattern: str, clean: str, path: str) -> NotFound:
        real, root = os.path.realpath(path), os.path.realpath(self.root)
        if real != root and not real.startswith(root + "/"):
            return NotFound(
                f"{pattern!r} leads out of {self.label}, to {real}",
                hint="a link is followed inside the context only; copy the file into it",
            )
        return NotFound(
            f"{pattern!r} is excluded from {self.label} by the ignore file",
            hint=f"add the line '!{clean}' at the end of .dockerignore to keep it",
        )

    def _suggestion(self, clean: str) -> str:
        import difflib

        folder, _, name = clean.rpartition("/")
        try:
            names = os.listdir(os.path.join(self.root, folder))
        except OSError:
            names = []
        if close := difflib.get_close_matches(name, names, 1):
            return f"did you mean {os.path.join(folder, close[0])!r}?"
        return "" if self._settled else f"the context is {self.root}"

    def _entry(self, path: str, name: str, folder: int, status: Stamp, digest: bytes) -> Entry | None:
        """The entry of what is `name` in the folder; `digest` is for a regular file, `UNKNOWN` if need be."""
        mode = status[MODE]
        bits, mtime = mode & 0o7777, status[MTIME]
        if stat.S_ISREG(mode):
            if digest == UNKNOWN:
                digest = self._hashed(path, name, folder) if self._settled else b""
            return Entry(path, FILE, bits, 0, 0, mtime, status[SIZE], "", (0, 0), (), digest)
        if stat.S_ISDIR(mode):
            return Entry(path, DIRECTORY, bits, mtime=mtime)
        if stat.S_ISLNK(mode):
            return Entry(path, SYMLINK, 0o777, mtime=mtime, link=os.readlink(name, dir_fd=folder))
        if stat.S_ISFIFO(mode):
            return Entry(path, FIFO, bits, mtime=mtime)
        if stat.S_ISSOCK(mode):
            # A socket is a meeting point of living processes; tar has no type for it, and docker skips it.
            return None
        raise WherryError(f"{path!r} of {self.label} is a device node, which cannot be copied")

    def _hashed(self, path: str, name: str, folder: int) -> bytes:
        import hashlib

        with open(os.open(name, _FILE_FLAGS, dir_fd=folder), "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            self.digests.put_settled(path, stamp(os.fstat(file.fileno())), digest)
        return digest

    def _folder(self, path: str) -> int:
        """A descriptor of a folder. The last one is kept open: callers go through a tree in order."""
        known, descriptor = self._open_folder
        if known == path:
            return descriptor
        start, rest = (
            (descriptor, path[len(known) + 1 :])
            if known and path.startswith(known + "/")
            else (
                self._root_fd,
                path,
            )
        )
        current = os.dup(start)
        try:
            for part in filter(None, rest.split("/")):
                below = os.open(part, _DIRECTORY_FLAGS, dir_fd=current)
                os.close(current)
                current = below
        except BaseException:
            os.close(current)
            raise
        os.close(descriptor)
        self._open_folder = (path, current)
        return current

    def _unreadable(self, path: str, error: OSError) -> WherryError:
        return WherryError(
            f"cannot read {path or '.'!r} of {self.label}: {error.strerror}",
            hint="make it readable, or name it in .dockerignore",
        )

    def reader(self) -> Context:
        """Another view of the same context, for another thread."""
        return Context(self.root, self.ignored, self.digests, self.label, settled=self._settled)

    def close(self) -> None:
        os.close(self._root_fd)
        os.close(self._open_folder[1])


def _is_folder(found: Stamp | None) -> bool:
    return found is not None and stat.S_ISDIR(found[MODE])


def _open_root(root: str, label: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{label} {root!r} does not exist") from None
    except OSError as error:
        raise WherryError(f"cannot read {label} {root!r}: {error.strerror}") from None
