"""Folders whose files belong to a container's users, deleted."""

from __future__ import annotations

import os

from wherry.base.errors import WherryError
from wherry.store.store import remove_tree

_CHUNK = 1 << 20


def remove(path: str) -> None:
    """Delete a folder with all below it; one that is not there is no error.

    Without root, files of the container's other users can only be deleted from within the user name space
    that they belong to: a child enters it.
    """
    problem = _try_to_remove(path)
    if problem and os.geteuid() != 0:
        problem = _remove_as_owner(path)
    if problem:
        raise WherryError(f"cannot delete {path}: {problem}")


def _try_to_remove(path: str) -> str:
    """What stood in the way; empty where all is gone."""
    try:
        remove_tree(path)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"
    return "something in it is still in use" if os.path.lexists(path) else ""


def _remove_as_owner(path: str) -> str:
    from wherry.runtime import modes

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            modes.enter()
            os.write(writer, _try_to_remove(path).encode("utf-8", "replace"))
        except WherryError as error:
            os.write(writer, error.message.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    return problem
