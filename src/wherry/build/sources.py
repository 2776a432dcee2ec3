"""Where the COPYs and ADDs of a build take files from, when that is no step: contexts, and what is fetched.

There is one object for all of them, used from several threads. What nobody copies from is not opened, and
what has to be fetched is fetched when a step is executed that copies it. Until then it is known by its
identity: the commit of a repository, the digest of a file. The server is asked for that once in a build.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from wherry.base.tuples import NamedTuple
from wherry.build.context import Context
from wherry.build.files import Files, Trees
from wherry.build.step import Copy, Step
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.fetching import Fetcher
    from wherry.build.named import Contexts


def contexts(pairs: Sequence[tuple[str, str]]) -> Contexts | None:
    """What `Options.contexts` names; None for most builds, which need to know nothing of it."""
    if not pairs:
        return None
    from wherry.build.named import Contexts

    return Contexts(pairs)


class Wish(NamedTuple):
    """Something to be fetched: a repository, or the file of a URL.

    `checksum` is what it has to be, `sha256:...` or the beginning of a commit's hash. A context
    (`is_context`) may also be a repository of this machine, and is unpacked where it is an archive.
    """

    text: str
    is_git: bool
    checksum: str = ""
    keep_git_dir: bool = False
    is_context: bool = False


class Sources:
    """The main context and the named ones. `fetcher` is called when the first thing has to be fetched."""

    def __init__(
        self, store: Store, main: Context, named: Contexts | None, fetcher: Callable[[], Fetcher]
    ) -> None:
        self._store = store
        self._main = main
        self._named = named
        self._folders: dict[str, Context] = {}
        self._make_fetcher = fetcher
        self._fetcher: Fetcher | None = None
        self._lock = threading.Lock()

    def has_to_fetch(self, operation: Copy) -> bool:
        return bool(operation.remotes or self._fetched_context(operation))

    def at_hand(self, operation: Copy) -> tuple[str, ...]:
        """The operation's patterns for which nothing is fetched."""
        if self._fetched_context(operation):
            return ()
        remotes = {remote.text for remote in operation.remotes}
        return tuple(pattern for pattern in operation.patterns if pattern not in remotes)

    def identity(self, operation: Copy) -> str | None:
        """What stands for all that the operation has fetched; None where only fetching it can tell.

        "" where there is nothing to fetch.
        """
        identities = [self._fetch().identity(wish) for wish in self._wishes(operation)]
        known = [identity for identity in identities if identity is not None]
        return " ".join(known) if len(known) == len(identities) else None

    def look_up(self, steps: tuple[Step, ...]) -> None:
        """Learn the identities of all that the steps fetch, several at a time. Raises the first failure."""
        where = {
            wish: step.where
            for step in reversed(steps)
            if isinstance(step.operation, Copy)
            for wish in self._wishes(step.operation)
        }
        if where:
            self._fetch().look_up(where, len(steps) + 2)

    @contextmanager
    def local(self, operation: Copy) -> Iterator[Trees]:
        """What the operation has at hand, for the calling thread alone: nothing is fetched."""
        with self._reader(operation.context) as files:
            yield Trees(files)

    @contextmanager
    def opened(self, operation: Copy, vertex: int) -> Iterator[Trees]:
        """All that the operation copies from, fetched if need be, for the calling thread alone.

        `vertex` is the step that progress is told of.
        """
        with ExitStack() as stack:
            context = self._fetched_context(operation)
            if context is None:
                files = stack.enter_context(self._reader(operation.context))
            else:
                files = stack.enter_context(self._fetch().files(context, vertex))
            fetched = {
                remote.text: stack.enter_context(self._fetch().files(wish, vertex))
                for remote, wish in zip(operation.remotes, _remotes(operation), strict=True)
            }
            yield Trees(files, fetched)

    def cancel(self) -> None:
        """What is being fetched is not waited for."""
        if self._fetcher is not None:
            self._fetcher.cancel()

    def close(self) -> None:
        for context in self._folders.values():
            context.save()
            context.close()
        if self._fetcher is not None:
            self._fetcher.close()

    def _wishes(self, operation: Copy) -> tuple[Wish, ...]:
        if not operation.remotes and not operation.context:
            return ()
        context = self._fetched_context(operation)
        return (*([context] if context else ()), *_remotes(operation))

    def _fetched_context(self, operation: Copy) -> Wish | None:
        if not operation.context or self._named is None:
            return None
        from wherry.build.named import GIT, URL

        value = self._named.value(operation.context)
        return Wish(value.text, value.kind == GIT, is_context=True) if value.kind in (GIT, URL) else None

    @contextmanager
    def _reader(self, name: str) -> Iterator[Files]:
        reader = (self._folder(name) if name else self._main).reader()
        try:
            yield reader
        finally:
            reader.close()

    def _folder(self, name: str) -> Context:
        """A named context that is a folder of this machine."""
        assert self._named is not None
        with self._lock:
            if name not in self._folders:
                self._folders[name] = self._named.folder(name, self._store)
            return self._folders[name]

    def _fetch(self) -> Fetcher:
        with self._lock:
            if self._fetcher is None:
                self._fetcher = self._make_fetcher()
            return self._fetcher


def _remotes(operation: Copy) -> tuple[Wish, ...]:
    return tuple(
        Wish(remote.text, remote.is_git, remote.checksum, remote.keep_git_dir) for remote in operation.remotes
    )
