"""Deletes trees that somebody else filled: however deep they are, whatever modes their folders have.

A step may leave folders a hundred thousand deep, where every function that calls itself for what is below, or
keeps a descriptor for each level, gives up; and it may take the rights to its folders away from itself. No
link is followed: a folder is opened by its last name beneath its parent's descriptor.
"""

from __future__ import annotations

import os
import stat
from itertools import count

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STRAIGHT = 100
"""Levels that a folder may have to be emptied by a function that calls itself."""


def remove(name: str, folder: int | None = None) -> None:
    """Deletes `name`, with all below it where it is a folder; `folder` is the descriptor that it is beneath.

    Raises OSError where something cannot be deleted; FileNotFoundError where there is nothing.
    """
    if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if not _quickly(name, folder):
        top = _opened(name, folder)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=folder)


def _quickly(name: str, folder: int | None) -> bool:
    """True where all could be deleted on a straight way down, as it is nearly always."""
    try:
        opened = os.open(name, _FOLDER, dir_fd=folder)
        try:
            _clear(opened, _STRAIGHT)
        finally:
            os.close(opened)
    except OSError:
        pass  # a folder that may not be read may be empty
    try:
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return True  # somebody else deleted it too
    except OSError:
        return False
    return True


def _clear(folder: int, levels: int) -> None:
    """Delete what can be deleted in so many levels; the rest stays."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif levels:
                inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                try:
                    _clear(inner, levels - 1)
                finally:
                    os.close(inner)
                os.rmdir(entry.name, dir_fd=folder)
        except OSError:
            pass


def _empty(top: int) -> None:
    """Empties a folder from its upper end: what is too deep is moved up into it, and never gone down to."""
    numbers = count()
    while names := os.listdir(top):
        for name in names:
            if _is_folder(top, name):
                _dissolve(top, name, numbers)
            else:
                _unlink(top, name)


def _dissolve(top: int, name: str, numbers: count[int]) -> None:
    """Removes the folder `name` from `top`; folders in it that are not empty become folders in `top`."""
    folder = _opened(name, top)
    try:
        for below in os.listdir(folder):
            if not _is_folder(folder, below):
                _unlink(folder, below)
            elif not _rmdir(folder, below):
                os.close(_opened(below, folder))  # only who may write to a folder may move it
                _move_up(folder, below, top, numbers)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _move_up(folder: int, name: str, top: int, numbers: count[int]) -> None:
    for number in numbers:
        try:
            os.rename(name, f".removing-{number}", src_dir_fd=folder, dst_dir_fd=top)
            return
        except OSError:
            if not _exists(top, f".removing-{number}"):
                raise


def _is_folder(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)


def _exists(folder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except PermissionError:
        os.fchmod(folder, 0o700)
        os.unlink(name, dir_fd=folder)


def _rmdir(folder: int, name: str) -> bool:
    """False where it is not empty, or may not be removed as it is."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True


def _opened(name: str, folder: int | None) -> int:
    """A descriptor of a folder that may be read and written through it, made so where its owner closed it."""
    held = os.open(name, os.O_PATH | _FOLDER, dir_fd=folder)
    try:
        if os.fstat(held).st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{held}", 0o700)
        return os.open(f"/proc/self/fd/{held}/.", _FOLDER)
    finally:
        os.close(held)
