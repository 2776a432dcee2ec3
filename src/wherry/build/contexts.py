"""Contexts that are no folder: standard input, a git repository, a URL. Each becomes a folder for a time.

What a stream of bytes is, an archive or a Dockerfile, is told by its content. A Dockerfile alone has an empty
folder for its context.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.base.events import Emit, Output, vertex
from wherry.base.tuples import NamedTuple
from wherry.build.legible import redacted
from wherry.build.options import Options
from wherry.build.remote import address, token
from wherry.build.remote.address import Repository
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.remote.archive import Incoming

STDIN = "-"
_MAX_DOCKERFILE = 64 << 20
_NUMBER = 0
"""The vertex of the work before a build's steps."""
_KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
"""BuildKit's build argument: a repository's `.git` is part of the context."""


class Tree(NamedTuple):
    """`label` is what messages call it; `dockerfile` is None where that is to be looked for in the folder."""

    folder: str
    label: str
    dockerfile: bytes | None = None


@contextmanager
def fetched(store: Store, options: Options, emit: Emit) -> Iterator[Tree]:
    """The folder for `options.context`, which is none itself; it is gone at the end."""
    with store.lease(), store.scratch("context") as scratch:
        if options.context == STDIN:
            yield _standard_input(options, scratch, emit)
        elif (repository := address.repository(options.context, local=True)) is not None:
            yield _repository(store, repository, options, scratch, emit)
        elif address.is_url(options.context):
            yield _url(store, options, scratch, emit)
        else:
            raise _no_context(options.context)


def dockerfile(store: Store, url: str, emit: Emit) -> bytes:
    """The Dockerfile at a URL."""
    from wherry.build.remote.web import Web

    label = redacted(url)
    with (
        store.lease(),
        vertex(emit, _NUMBER, f"[internal] load build definition from {label}"),
        closing(Web(store, emit)) as web,
        open(web.fetch(url, "", _NUMBER).path, "rb") as file,
    ):
        text = file.read(_MAX_DOCKERFILE)
    if _is_binary(text) or _is_page(text):
        raise WherryError(
            f"{label} is not a Dockerfile", hint="is that the file itself, or a page that shows it?"
        )
    return text


def _standard_input(options: Options, scratch: str, emit: Emit) -> Tree:
    from wherry.build.remote.archive import Incoming

    if options.file == STDIN:
        raise UsageError(
            "standard input cannot be both the build context and the Dockerfile",
            hint="name a Dockerfile of the archive with -f, or give the context as a folder",
        )
    stream = Incoming(sys.stdin.buffer, "the archive on standard input")
    if not stream.is_archive:
        return _unpacked(stream, options, scratch, "standard input")
    with vertex(emit, _NUMBER, "[internal] load remote build context"):
        return _unpacked(stream, options, scratch, "standard input")


def _url(store: Store, options: Options, scratch: str, emit: Emit) -> Tree:
    from wherry.build.remote.archive import Incoming
    from wherry.build.remote.web import Web

    label = redacted(options.context)
    with (
        vertex(emit, _NUMBER, f"[internal] load remote build context {label}"),
        closing(Web(store, emit)) as web,
        open(web.fetch(options.context, "", _NUMBER).path, "rb") as file,
    ):
        return _unpacked(Incoming(file, label), options, scratch, label)


def _unpacked(stream: Incoming, options: Options, scratch: str, label: str) -> Tree:
    from wherry.build.remote.archive import unpack

    folder = f"{scratch}/tree"
    os.mkdir(folder, 0o755)
    os.chmod(folder, 0o755)
    if stream.is_archive:
        unpack(stream, folder)
        return Tree(folder, label)
    text = _as_dockerfile(stream.read(_MAX_DOCKERFILE), label)
    if options.file:
        raise UsageError(
            f"{label} is no archive but a Dockerfile, and -f {redacted(options.file)} names another one",
            hint="leave -f out",
        )
    return Tree(folder, label, text)


def _as_dockerfile(text: bytes, label: str) -> bytes:
    """The text, unless it is easily seen that something else was meant than a Dockerfile."""
    if _is_binary(text):
        raise WherryError(
            f"{label} is neither a Dockerfile nor an archive",
            hint="an archive is a tar, plain or compressed by gzip, bzip2, xz or zstd",
        )
    if _is_page(text):
        raise WherryError(
            f"{label} is a page for browsers, neither a Dockerfile nor an archive",
            hint="the URL of a git repository ends in .git",
        )
    return text


def _is_binary(text: bytes) -> bool:
    return b"\0" in text[:4096]


def _is_page(text: bytes) -> bool:
    return text[:512].lstrip()[:1] == b"<"


def _repository(store: Store, repository: Repository, options: Options, scratch: str, emit: Emit) -> Tree:
    from wherry.build.remote.git import Git

    label = redacted(options.context)
    with vertex(emit, _NUMBER, f"[internal] load git source {label}"):
        account = token.account(repository, options.secrets)
        git = Git(repository, scratch, store.path("cache"), local=True, account=account)
        commit = git.commit()
        emit(Output(_NUMBER, 1, f"{commit}\t{repository.ref or 'HEAD'}\n".encode(), time.monotonic()))
        return Tree(git.checkout(commit, _keeps_git_dir(repository, options)), label)


def _keeps_git_dir(repository: Repository, options: Options) -> bool:
    given = dict(options.arguments).get(_KEEP_GIT_DIR) or ""
    if repository.keep_git_dir is None:
        return given.lower() in ("1", "t", "true")
    return repository.keep_git_dir


def _no_context(text: str) -> NotFound:
    what = "is not a folder" if os.path.exists(text) else "does not exist"
    return NotFound(
        f"the build context {redacted(text)!r} {what}",
        hint="usage: wherry build [OPTIONS] PATH | URL | -",
    )
