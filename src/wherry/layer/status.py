"""What stat(2) says of a file, as an entry."""

from __future__ import annotations

import os
import stat

from wherry.layer.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Entry

_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}


def kind_of(status: os.stat_result) -> str | None:
    """None for a socket, which no layer can have."""
    return _KINDS.get(stat.S_IFMT(status.st_mode))


def entry_of(
    path: str, status: os.stat_result, link: str = "", xattrs: tuple[tuple[str, bytes], ...] = ()
) -> Entry:
    """The entry, with the time as it is; `link` is what a symbolic link leads to."""
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_size if kind == FILE else 0,
        link,
        (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in (CHARACTER, BLOCK) else (0, 0),
        xattrs,
    )
