"""Where a program lies. shutil tells the same, and its import takes 2 ms of the start of each container."""

from __future__ import annotations

import os


def which(name: str, path: str | None = None) -> str | None:
    """The file that the command `name` means: the first in `path`, else in $PATH, that may be executed.

    A name with a slash means just that file.
    """
    if "/" in name:
        return name if _is_program(name) else None
    for folder in (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep):
        if folder and _is_program(found := os.path.join(folder, name)):
            return found
    return None


def _is_program(path: str) -> bool:
    return os.access(path, os.X_OK) and not os.path.isdir(path)
