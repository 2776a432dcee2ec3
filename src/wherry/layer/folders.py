"""The folders of a tree that is written or read, as descriptors: each opened beneath its parent."""

from __future__ import annotations

import os

from wherry.base import removal

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 256
"""Descriptors kept open; a process may have 1,024 by default."""


class Folders:
    """Paths as in entries; `""` is the folder that is written to. Missing ones are made, mode 0755, or with
    `make` False not found."""

    def __init__(self, root: str, *, make: bool = True) -> None:
        self._root = os.open(root, _OPEN & ~os.O_NOFOLLOW)
        self._open = _open_or_make if make else _open
        self._kept: dict[str, int] = {}

    def open(self, path: str) -> int:
        """The descriptor of the folder `path`: good until the next call."""
        if not path:
            return self._root
        kept = self._kept
        descriptor = kept.get(path)
        if descriptor is not None:
            return descriptor
        missing = []
        while path and path not in kept:
            missing.append(path)
            path = path.rpartition("/")[0]
        descriptor = kept[path] if path else self._root
        for path in reversed(missing):
            descriptor = self._keep(path, self._open(path.rpartition("/")[2], descriptor))
        return descriptor

    def parent(self, path: str) -> tuple[int, str]:
        """The folder that `path` is in, and its last name: as system calls want it."""
        folder, _, name = path.rpartition("/")
        return self.open(folder), name

    def remove(self, path: str) -> None:
        """Deletes `path`, with all below it where it is a folder."""
        folder, name = self.parent(path)
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            below = path + "/"
            for kept in [kept for kept in self._kept if kept == path or kept.startswith(below)]:
                os.close(self._kept.pop(kept))
            removal.remove(name, folder)

    def close(self) -> None:
        for descriptor in self._kept.values():
            os.close(descriptor)
        self._kept.clear()
        os.close(self._root)

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, path: str, descriptor: int) -> int:
        kept = self._kept
        if len(kept) >= _KEPT:
            for old in list(kept)[: _KEPT // 2]:
                os.close(kept.pop(old))
        kept[path] = descriptor
        return descriptor


def _open(name: str, parent: int) -> int:
    return os.open(name, _OPEN, dir_fd=parent)


def _open_or_make(name: str, parent: int) -> int:
    try:
        return _open(name, parent)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=parent)
    descriptor = _open(name, parent)
    os.fchmod(descriptor, 0o755)
    return descriptor
