"""What a build fetches: repositories and files from URLs, each asked for once and fetched at most once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from queue import SimpleQueue

from wherry.base.errors import Location, WherryError
from wherry.base.events import Emit, vertex
from wherry.build.context import Context
from wherry.build.filedigests import FileDigests
from wherry.build.files import Files
from wherry.build.legible import redacted
from wherry.build.lending import Secret
from wherry.build.remote import address, archive, token
from wherry.build.remote.git import Git
from wherry.build.remote.web import Web
from wherry.build.remote.webfile import WebFile
from wherry.build.solve import Cancelled
from wherry.build.sources import Wish
from wherry.dockerfile.ignore import Patterns
from wherry.registry import parallel
from wherry.store.store import Store

_AT_ONCE = 8
_PATIENCE = 1.0
"""Seconds that a cancelled build waits for what it has begun to fetch."""
_CONTEXT_FILE = "context"
"""What a named context from a URL has as its one file, where that is no archive. BuildKit calls it so."""


class Fetcher:
    """Used from several threads. Trees are gone with `close`; the store's caches keep what they come from."""

    def __init__(self, store: Store, emit: Emit, secrets: tuple[Secret, ...] = ()) -> None:
        """One of `secrets` may be a token for repositories."""
        self._store = store
        self._secrets = secrets
        self._emit = emit
        self._stack = ExitStack()
        self._scratch = self._stack.enter_context(store.scratch("fetch"))
        self._web = self._stack.enter_context(closing(Web(store, emit)))
        self._sources: dict[Wish, _Repository | _Url] = {}
        self._waiting: set[SimpleQueue[Context | WebFile | BaseException]] = set()
        self._threads: list[threading.Thread] = []
        self._is_cancelled = False
        self._lock = threading.Lock()

    def identity(self, wish: Wish) -> str | None:
        """What stands for all that the wish brings; None where only fetching it can tell."""
        return self._source(wish).identity()

    def look_up(self, wishes: Mapping[Wish, Location | None], number: int) -> None:
        """Learn the identities, several at a time. `number` is that of the first vertex that is not taken."""

        def look(item: tuple[int, Wish], _stop: parallel.Stop) -> None:
            vertex_number, wish = item
            try:
                self._source(wish).look_up(vertex_number)
            except WherryError as error:
                error.where = error.where or wishes[wish]
                raise

        parallel.each(look, list(enumerate(wishes, number)), _AT_ONCE)

    @contextmanager
    def files(self, wish: Wish, number: int) -> Iterator[Files]:
        """The wish's tree, for the calling thread. `number` is the vertex that fetches it, if need be."""
        source = self._source(wish)
        found = self._awaited(lambda: source.files(number))
        if not isinstance(found, Context):
            yield found
            return
        with closing(found.reader()) as reader:
            yield reader

    def cancel(self) -> None:
        """Nobody waits for servers any more."""
        with self._lock:
            self._is_cancelled = True
            for answer in self._waiting:
                answer.put(Cancelled())

    def close(self) -> None:
        if self._is_cancelled:
            self._abandon()
            return
        for source in self._sources.values():
            source.close()
        self._stack.close()

    def _abandon(self) -> None:
        """What is still being written may be left behind: `sweep` finds it when this process has ended."""
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        with suppress(OSError, WherryError):
            self._stack.close()

    def _awaited(self, fetch: Callable[[], Context | WebFile]) -> Context | WebFile:
        """What `fetch` gives, on a thread that need not end: a silent server cannot be interrupted."""
        answer: SimpleQueue[Context | WebFile | BaseException] = SimpleQueue()

        def run() -> None:
            try:
                answer.put(fetch())
            except BaseException as error:
                answer.put(error)

        with self._lock:
            if self._is_cancelled:
                raise Cancelled()
            self._waiting.add(answer)
            thread = threading.Thread(target=run, daemon=True)
            self._threads.append(thread)
        thread.start()
        found = answer.get()
        with self._lock:
            self._waiting.discard(answer)
        if isinstance(found, BaseException):
            raise found
        return found

    def _source(self, wish: Wish) -> _Repository | _Url:
        with self._lock:
            if wish not in self._sources:
                scratch = f"{self._scratch}/{len(self._sources)}"
                os.mkdir(scratch, 0o700)
                self._sources[wish] = (
                    _Repository(wish, scratch, self._store.path("cache"), self._secrets)
                    if wish.is_git
                    else _Url(wish, scratch, self._web, self._emit)
                )
            return self._sources[wish]


class _Repository:
    def __init__(self, wish: Wish, scratch: str, cache: str, secrets: tuple[Secret, ...]) -> None:
        repository = address.repository(wish.text, local=wish.is_context)
        assert repository is not None
        if wish.checksum:
            repository = repository._replace(checksum=wish.checksum)
        self._repository = repository
        self._keep = wish.keep_git_dir or bool(repository.keep_git_dir)
        self._scratch = scratch
        account = token.account(repository, secrets)
        self._git = Git(repository, scratch, cache, local=wish.is_context, account=account)
        self._label = redacted(wish.text)
        self._commit = ""
        self._context: Context | None = None
        self._lock = threading.Lock()

    def identity(self) -> str:
        with self._lock:
            return self._settled_identity()

    def look_up(self, _number: int) -> None:
        self.identity()

    def files(self, _number: int) -> Context:
        with self._lock:
            if self._context is None:
                self._settled_identity()
                folder = self._git.checkout(self._commit, self._keep)
                self._context = _context(folder, self._scratch, self._label)
            return self._context

    def close(self) -> None:
        if self._context is not None:
            self._context.close()

    def _settled_identity(self) -> str:
        self._commit = self._commit or self._git.commit()
        _, ref, folder, _, _, submodules = self._repository
        # The names of branch and server are in a `.git` that is kept, and nowhere else.
        kept = [self._repository.url, ref] if self._keep else []
        return json.dumps(["git", self._commit, folder, submodules, kept])


class _Url:
    def __init__(self, wish: Wish, scratch: str, web: Web, emit: Emit) -> None:
        self._wish = wish
        self._scratch = scratch
        self._web = web
        self._emit = emit
        self._label = redacted(wish.text)
        self._digest: str | None = wish.checksum or None
        self._tree: Context | WebFile | None = None
        self._lock = threading.Lock()

    def identity(self) -> str | None:
        return None if self._digest is None else json.dumps(["url", self._digest])

    def look_up(self, number: int) -> None:
        with self._lock:
            if self._digest is not None:
                return
            url = self._wish.text
            self._digest = self._web.digest(url)
            # What is new is fetched by its step, beside other steps. What was fetched before may be unchanged
            # though its server cannot tell, and then the step has its result.
            if self._digest is None and self._web.was_fetched(url):
                with vertex(self._emit, number, f"[internal] fetch {self._label}"):
                    self._digest = self._web.fetch(url, "", number).digest

    def files(self, number: int) -> Context | WebFile:
        with self._lock:
            if self._tree is None:
                file = self._web.fetch(self._wish.text, self._wish.checksum, number)
                self._digest = file.digest
                self._tree = self._context(file) if self._wish.is_context else file
            return self._tree

    def close(self) -> None:
        if isinstance(self._tree, Context):
            self._tree.close()

    def _context(self, file: WebFile) -> Context | WebFile:
        with open(file.path, "rb") as stream:
            incoming = archive.Incoming(stream, self._label)
            if not incoming.is_archive:
                return WebFile(_CONTEXT_FILE, file.path, file.digest, self._label)
            folder = f"{self._scratch}/tree"
            os.mkdir(folder, 0o755)
            archive.unpack(incoming, folder)
        return _context(folder, self._scratch, self._label)


def _context(folder: str, scratch: str, label: str) -> Context:
    """All files of the folder; what is learnt of them is forgotten with it."""
    return Context(folder, Patterns.parse(""), FileDigests(scratch, folder), label)
