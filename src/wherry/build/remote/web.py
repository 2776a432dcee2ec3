"""Files from URLs: kept by their digest, and fetched again only where they may have changed.

    cache/http/<32 hex of the URL>.json   what the server said of it: a `Known`
    cache/http/<hex of the sha256>        the content

That nothing has changed is told by a strong ETag alone (RFC 9110, 8.8.3). A Last-Modified says too little:
whoever makes files with a fixed time, as reproducible builds do, puts another one of the same length and the
same time in the place of the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.base.events import Emit, Transfer
from wherry.base.tuples import NamedTuple
from wherry.build.legible import redacted
from wherry.build.remote.address import file_name, without_account
from wherry.build.remote.webfile import WebFile
from wherry.layer.source import limits
from wherry.registry.failures import Broken
from wherry.registry.transport import Response, Retries, Transport
from wherry.store.store import Store


class Known(NamedTuple):
    """What is remembered of a URL; `etag` is empty where the server said nothing that can be trusted."""

    digest: str
    etag: str


class Web:
    """The URLs of one build: what one of them has is settled once. Used by several threads."""

    def __init__(self, store: Store, emit: Emit, retries: Retries | None = None) -> None:
        self._store = store
        self._folder = store.path("cache", "http")
        self._emit = emit
        self._transport = Transport(retries)
        self._settled: dict[str, str] = {}
        self._lock = threading.Lock()

    def was_fetched(self, url: str) -> bool:
        """By this build or an earlier one."""
        return os.path.exists(self._memory(url))

    def digest(self, url: str) -> str | None:
        """`sha256:...` of what the URL has now; None where only `fetch` can tell."""
        with self._lock:
            settled = self._settled.get(url)
        if settled is not None:
            return settled
        known = self._remembered(url)
        if known is None or not self._is_unchanged(url, known):
            return None
        return self._settle(url, known.digest)

    def fetch(self, url: str, checksum: str, vertex: int) -> WebFile:
        """The URL's file. What is kept under `checksum`, `sha256:...`, needs no network; "" asks for none.

        Raises Corrupt where the file is another one than the checksum says.
        """
        digest = checksum or self.digest(url)
        if digest is None or not self._is_whole(digest):
            digest = self._download(url, checksum, vertex)
        if not checksum:
            # What is kept under a checksum need not be what the URL has now.
            digest = self._settle(url, digest)
        return WebFile(file_name(url), self._path(digest), digest, redacted(url))

    def close(self) -> None:
        self._transport.close()

    def _settle(self, url: str, digest: str) -> str:
        """Two steps of one build that fetch the same URL get the same file."""
        with self._lock:
            return self._settled.setdefault(url, digest)

    # what is remembered

    def _path(self, digest: str) -> str:
        return f"{self._folder}/{digest.removeprefix('sha256:')}"

    def _memory(self, url: str) -> str:
        name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return f"{self._folder}/{name}.json"

    def _remembered(self, url: str) -> Known | None:
        try:
            with open(self._memory(url), "rb") as file:
                known = Known(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None
        return known if known.etag else None

    def _is_whole(self, digest: str) -> bool:
        """Whether the content is there, and is what its name says: a loss of power may have cut it."""
        try:
            with open(self._path(digest), "rb", buffering=0) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return False
        return f"sha256:{found}" == digest

    # asking

    def _is_unchanged(self, url: str, known: Known) -> bool:
        with self._ask(url, {"If-None-Match": known.etag}) as response:
            return response.status == 304 or (
                response.status == 200 and response.header("ETag") == known.etag
            )

    def _ask(self, url: str, headers: Mapping[str, str]) -> Response:
        plain, account = without_account(url)
        headers = dict(headers)
        if account is not None:
            from base64 import b64encode

            # The transport drops it where a redirect leads to another origin.
            headers["Authorization"] = f"Basic {b64encode(':'.join(account).encode()).decode()}"
        return self._transport.request("GET", plain.partition("#")[0], headers)

    def _download(self, url: str, checksum: str, vertex: int) -> str:
        with self._store.scratch("http") as scratch:
            path = f"{scratch}/content"
            known = self._transfer_at_last(url, path, vertex)
            if checksum and known.digest != checksum:
                raise Corrupt(
                    f"{redacted(url)} has the checksum {known.digest}, not {checksum}",
                    hint="another file is there than was meant; correct the checksum if it is the right one",
                )
            self._keep(url, known, path)
        return known.digest

    def _transfer_at_last(self, url: str, path: str, vertex: int) -> Known:
        """A transfer that breaks off is begun anew, as often as the transport tries a request."""
        import time

        retries = self._transport.retries
        for attempt in range(1, retries.attempts):
            try:
                return self._transfer(url, path, vertex)
            except _Interrupted:
                time.sleep(retries.pause(attempt))
        return self._transfer(url, path, vertex)

    def _transfer(self, url: str, path: str, vertex: int) -> Known:
        limit = limits().size
        digest, size = hashlib.sha256(), 0
        with self._ask(url, {}) as response, _written(path) as file:
            _check_status(response, url)
            while data := _some_of(response):
                size += len(data)
                if size > limit:
                    raise Corrupt(
                        f"{redacted(url)} has more than {limit} bytes",
                        hint="WHERRY_MAX_LAYER_SIZE allows more (bytes, or with K, M, G, T)",
                    )
                digest.update(data)
                file.write(data)
                self._emit(Transfer(vertex, file_name(url), size, response.length or 0))
            if response.length is not None and size != response.length:
                raise _Interrupted(f"{redacted(url)} broke off after {size} of {response.length} bytes")
            etag = response.header("ETag")
            strong = "" if etag.startswith("W/") else etag
            return Known(f"sha256:{digest.hexdigest()}", strong)

    def _keep(self, url: str, known: Known, path: str) -> None:
        memory = f"{path}.json"
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(memory, "w") as file:
                json.dump(known._asdict(), file)
            os.rename(path, self._path(known.digest))
            os.rename(memory, self._memory(url))
        except OSError as error:
            raise _unwritable(error) from None


class _Interrupted(Broken):
    """A transfer that began and did not come to its end."""


def _some_of(response: Response) -> bytes:
    try:
        return response.read()
    except Broken as error:
        raise _Interrupted(error.message, hint=error.hint) from None


def _check_status(response: Response, url: str) -> None:
    if response.status == 200:
        return
    from http import HTTPStatus

    reason = next((f" ({status.phrase})" for status in HTTPStatus if status == response.status), "")
    message = f"{redacted(url)} was answered with {response.status}{reason}"
    if response.status in (401, 403):
        raise Denied(message, hint="a user and a password go into the URL: https://USER:PASSWORD@HOST/...")
    raise NotFound(message) if response.status in (404, 410) else WherryError(message)


@contextmanager
def _written(path: str) -> Iterator[BinaryIO]:
    """A file that is written from its beginning, whatever an earlier attempt left."""
    try:
        with open(path, "wb") as file:
            yield file
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> WherryError:
    return WherryError(f"cannot write to the store: {error.strerror}")
