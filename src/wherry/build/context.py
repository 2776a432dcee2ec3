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

from wherry.base.errors import NotFound, WherryError
from wherry.build.contenthash import FileDigests, now, stamp
from wherry.dockerfile.ignore import Patterns
from wherry.layer.entry import DIRECTORY, FIFO, FILE, SYMLINK, Entry
from wherry.layer.folders import Folders

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Context:
    """The files of a folder as COPY sees them: owner and group 0, no extended attributes.

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
        self._digests = digests
        self._settled = settled
        self._root_fd = _open_root(root, label)
        self._open_folder: tuple[str, int] = ("", os.dup(self._root_fd))

    def lookup(self, path: str) -> Entry | None:
        if not path:
            return Entry("", DIRECTORY, os.fstat(self._root_fd).st_mode & 0o7777)
        excluded = self.ignored.excludes(path)
        if excluded and not self.ignored.may_keep_below(path):
            return None
        parent, _, name = path.rpartition("/")
        try:
            folder = self._folder(parent)
            entry = self._entry(path, name, folder, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None
        return None if excluded and entry is not None and entry.kind != DIRECTORY else entry

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self._folder(path)))
        except OSError as error:
            raise self._unreadable(path, error) from None

    def walk(self, path: str) -> Iterator[Entry]:
        """Not recursive, and with few descriptors: a folder may be two thousand folders deep."""
        with Folders(f"/proc/self/fd/{self._folder(path)}", make=False) as folders:
            yield from self._walk(folders, path)

    def _walk(self, folders: Folders, top: str) -> Iterator[Entry]:
        unshown: list[Entry] = []
        """Ignored folders on the way: they exist for the sake of what a later `!pattern` keeps below them."""
        way = [(iter(self._listed(folders, top, top)), 0)]
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
                way.append((iter(self._listed(folders, top, entry.path)), len(unshown)))
                unshown += [entry] if excluded else []

    def _listed(self, folders: Folders, top: str, path: str) -> list[tuple[Entry, bool]]:
        """What is in the folder `path`, and of each whether it is a folder that is ignored itself."""
        ignored = self.ignored
        prefix = f"{path}/" if path else ""
        found = []
        try:
            folder = folders.open(path[len(top) :].lstrip("/"))
            with os.scandir(folder) as listing:
                items = sorted(listing, key=_name)
            for item in items:
                inner = prefix + item.name
                excluded = ignored.excludes(inner)
                if excluded and not (item.is_dir(follow_symlinks=False) and ignored.may_keep_below(inner)):
                    continue
                entry = self._entry(inner, item.name, folder, item.stat(follow_symlinks=False))
                if entry is not None:
                    found.append((entry, excluded))
        except OSError as error:
            raise self._unreadable(path, error) from None
        return found

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
            self._digests.put(path, stamp(os.fstat(file.fileno())), digest, began)
        return digest

    def learn(self, path: str, content: object, digest: bytes, read_at: int) -> None:
        if isinstance(content, int):
            self._digests.put(path, stamp(os.fstat(content)), digest, read_at)

    def save(self) -> None:
        if not self._settled:
            self._digests.save()

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

    def _entry(self, path: str, name: str, folder: int, status: os.stat_result) -> Entry | None:
        mode = status.st_mode
        bits = mode & 0o7777
        if stat.S_ISREG(mode):
            digest = self._digests.get(path, stamp(status))
            if digest is None:
                digest = self._hashed(path, name, folder) if self._settled else b""
            return Entry(path, FILE, bits, size=status.st_size, digest=digest)
        if stat.S_ISDIR(mode):
            return Entry(path, DIRECTORY, bits)
        if stat.S_ISLNK(mode):
            return Entry(path, SYMLINK, 0o777, link=os.readlink(name, dir_fd=folder))
        if stat.S_ISFIFO(mode):
            return Entry(path, FIFO, bits)
        if stat.S_ISSOCK(mode):
            # A socket is a meeting point of living processes; tar has no type for it, and docker skips it.
            return None
        raise WherryError(f"{path!r} of {self.label} is a device node, which cannot be copied")

    def _hashed(self, path: str, name: str, folder: int) -> bytes:
        import hashlib

        with open(os.open(name, _FILE_FLAGS, dir_fd=folder), "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            self._digests.put_settled(path, stamp(os.fstat(file.fileno())), digest)
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
        return Context(self.root, self.ignored, self._digests, self.label, settled=self._settled)

    def close(self) -> None:
        os.close(self._root_fd)
        os.close(self._open_folder[1])


def _name(item: os.DirEntry[str]) -> str:
    return item.name


def _open_root(root: str, label: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{label} {root!r} does not exist") from None
    except OSError as error:
        raise WherryError(f"cannot read {label} {root!r}: {error.strerror}") from None
