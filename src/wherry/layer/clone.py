"""The content of a file into another: shared with it until one of the two is written to, where the file
system can (btrfs, xfs, bcachefs), else copied; holes stay holes."""

from __future__ import annotations

import errno
import fcntl
import os

_FICLONE = 0x40049409
_CANNOT = {
    errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES,
}  # fmt: skip


def clone(source: int, target: int) -> None:
    """`target` is open for writing, empty, and gets all that `source` has; both are regular files."""
    status = os.fstat(source)
    if not status.st_size:
        return
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    if status.st_blocks * 512 >= status.st_size:
        _copy(source, target, 0, status.st_size)
    else:
        _copy_with_holes(source, target, status.st_size)


def _copy_with_holes(source: int, target: int, size: int) -> None:
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # nothing but a hole up to the end
        end = os.lseek(source, start, os.SEEK_HOLE)
        _copy(source, target, start, end)
    os.ftruncate(target, size)


def _copy(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        copied = os.sendfile(target, source, start, end - start)
        if not copied:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        start += copied
