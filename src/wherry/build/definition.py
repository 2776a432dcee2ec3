"""Finding and reading the files that define a build: the Dockerfile and the ignore file beside it."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from wherry.base.errors import NotFound, WherryError
from wherry.dockerfile.ignore import Patterns

_NAMES = ("Dockerfile", "Containerfile", "dockerfile")
_LIMIT = 64 * 1024 * 1024


class Definition(NamedTuple):
    """`name` is how messages call the Dockerfile; `path` is empty for standard input."""

    name: str
    path: str
    text: bytes


def read(context: str, file: str) -> Definition:
    """The Dockerfile `file`, relative to the working folder as docker has it; "" looks into the context."""
    if not os.path.isdir(context):
        what = "is not a folder" if os.path.exists(context) else "does not exist"
        raise NotFound(f"the build context {context!r} {what}", hint="usage: wherry build [OPTIONS] FOLDER")
    if file == "-":
        return Definition("Dockerfile", "", sys.stdin.buffer.read(_LIMIT))
    path = file or _default(context)
    return Definition(os.path.basename(path), path, _content(path))


def _default(context: str) -> str:
    for name in _NAMES:
        path = os.path.join(context, name)
        if os.path.lexists(path):
            return path
    raise NotFound(
        f"there is no Dockerfile in {os.path.abspath(context)}",
        hint="name one with -f FILE, or give its folder as the argument",
    )


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except FileNotFoundError:
        raise NotFound(f"there is no Dockerfile {path!r}") from None
    except IsADirectoryError:
        raise WherryError(f"{path!r} is a folder, not a Dockerfile") from None
    except OSError as error:
        raise WherryError(f"cannot read {path!r}: {error.strerror}") from None


def ignored(context: str, definition: Definition) -> Patterns:
    """`<Dockerfile>.dockerignore` where there is one, else the context's `.dockerignore`."""
    paths = [f"{definition.path}.dockerignore"] if definition.path else []
    paths += [os.path.join(context, name) for name in (".dockerignore", ".containerignore")]
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return Patterns.parse(file.read(_LIMIT), path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise WherryError(f"cannot read {path!r}: {error.strerror}") from None
    return Patterns.parse("")
