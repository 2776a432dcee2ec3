"""Makes what an entry says below an open folder: `folder` is its descriptor, `name` new in it.

The order matters: writing and chown take capabilities and set-id bits away, and the time comes last. Without
`has_owners` all files are one user's, see `owners.py`.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.layer import owners
from wherry.layer.entry import BLOCK, CHARACTER, FIFO, Entry

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO}


def finish_file(descriptor: int, entry: Entry, *, has_owners: bool = True) -> None:
    """Owner, attributes, mode and time of a file whose content is written."""
    owners.give(descriptor, entry.uid, entry.gid, has_owners=has_owners)
    if entry.xattrs:
        set_xattrs(descriptor, entry)
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def make_symlink(folder: int, name: str, entry: Entry, *, has_owners: bool = True) -> None:
    os.symlink(entry.link, name, dir_fd=folder)
    if has_owners:
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    set_xattrs(f"/proc/self/fd/{folder}/{name}", entry)
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)


def make_node(folder: int, name: str, entry: Entry, *, has_owners: bool = True) -> bool:
    """A device or a pipe; False where this process may make no device."""
    device = os.makedev(*entry.device) if entry.kind != FIFO else 0
    try:
        os.mknod(name, _NODES[entry.kind] | 0o600, device, dir_fd=folder)
    except PermissionError:
        if entry.kind == FIFO:
            raise
        return False  # as inside a user namespace; containers get theirs from the runtime
    if has_owners:
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    set_xattrs(f"/proc/self/fd/{folder}/{name}", entry)
    os.chmod(name, entry.mode, dir_fd=folder)  # the name is the node just made, so no link is followed
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)
    return True


def set_xattrs(target: int | str, entry: Entry, *, follow: bool = False) -> None:
    """Attributes that the file system or this process's rights refuse stay in the index alone. `follow`:
    `target` is a descriptor's name, which leads to what is meant."""
    for name, value in entry.xattrs:
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                raise
