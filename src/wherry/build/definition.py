"""What defines a build: the folder of the context, the Dockerfile, and the ignore file beside it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import NotFound, WherryError
from wherry.base.events import Emit
from wherry.base.tuples import NamedTuple
from wherry.build.options import Options
from wherry.dockerfile.ignore import Patterns
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.contexts import Tree

_NAMES = ("Dockerfile", "Containerfile", "dockerfile")
_LIMIT = 64 * 1024 * 1024


class Definition(NamedTuple):
    """`name` is how messages call the Dockerfile; `path` is empty where it is no file of the user's.

    `folder` is the context, `label` how messages call that. What was fetched comes whole: `ignored` is None
    then, as BuildKit has it.
    """

    name: str
    path: str
    text: bytes
    folder: str
    ignored: Patterns | None
    label: str = "the build context"


@contextmanager
def opened(store: Store, options: Options, emit: Emit) -> Iterator[Definition]:
    """What `options` name, fetched if need be; a folder that was fetched is gone at the end."""
    if os.path.isdir(options.context):
        yield _local(options.context, options.file, _without_path(store, options, emit))
        return
    from wherry.build import contexts

    with contexts.fetched(store, options, emit) as tree:
        yield _fetched(tree, options.file, _without_path(store, options, emit))


def _without_path(store: Store, options: Options, emit: Emit) -> bytes | None:
    """The Dockerfile, where `-f` names standard input or a URL."""
    if options.file == "-":
        return sys.stdin.buffer.read(_LIMIT)
    if not options.file.startswith(("http://", "https://")):
        return None
    from wherry.build import contexts

    return contexts.dockerfile(store, options.file, emit)


def ignored_in(context: str, dockerfile: str = "") -> Patterns:
    """`<Dockerfile>.dockerignore` where there is one, else the context's `.dockerignore`."""
    paths = [f"{dockerfile}.dockerignore"] if dockerfile else []
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


def _local(context: str, file: str, text: bytes | None) -> Definition:
    """The Dockerfile is named relative to the working folder, as docker has it."""
    if text is not None:
        return Definition("Dockerfile", "", text, context, ignored_in(context))
    path = file or _default(context)
    return Definition(os.path.basename(path), path, _content(path), context, ignored_in(context, path))


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


def _fetched(tree: Tree, file: str, text: bytes | None) -> Definition:
    """The Dockerfile is one of the tree, but for an absolute path and a `text` from elsewhere."""
    if tree.dockerfile is not None:
        label = "the build context: a Dockerfile alone has an empty one"
        return Definition("Dockerfile", "", tree.dockerfile, tree.folder, None, label)
    found = Definition("Dockerfile", "", b"", tree.folder, None, f"the build context from {tree.label}")
    if text is not None:
        return found._replace(text=text)
    if file.startswith("/"):
        return found._replace(name=os.path.basename(file), path=file, text=_content(file))
    for name in [file] if file else _NAMES:
        within = _content_within(tree, name)
        if within is not None:
            return found._replace(name=os.path.basename(name), text=within)
    if file:
        raise NotFound(f"there is no Dockerfile {file!r} in {tree.label}")
    raise NotFound(f"there is no Dockerfile in {tree.label}", hint="name one of its files with -f FILE")


def _content_within(tree: Tree, name: str) -> bytes | None:
    """The content of a file, links followed inside of the tree: it is not to be trusted."""
    from wherry.base.paths import Root

    with Root(tree.folder, follow=True) as root:
        try:
            descriptor = root.open(name, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise WherryError(f"cannot read {name!r} of {tree.label}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise WherryError(f"{name!r} of {tree.label} is not a file")
        return file.read(_LIMIT)
