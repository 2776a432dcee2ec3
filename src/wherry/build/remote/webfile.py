"""A fetched file, as a tree to copy from: a folder with nothing else in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.base.errors import NotFound
from wherry.layer.entry import DIRECTORY, FILE, Entry

_MODE = 0o600
"""Of every file from a URL (Dockerfile reference, "ADD")."""


class WebFile:
    """`path` is where the content lies, `digest` its `sha256:...`; `label` is for messages."""

    def __init__(self, name: str, path: str, digest: str, label: str) -> None:
        self.label = label
        self.digest = digest
        self.path = path
        content = bytes.fromhex(digest.removeprefix("sha256:"))
        self._entry = Entry(name, FILE, _MODE, size=os.stat(path).st_size, digest=content)

    def lookup(self, path: str) -> Entry | None:
        if not path:
            return Entry("", DIRECTORY, 0o755)
        return self._entry if path == self._entry.path else None

    def names(self, path: str) -> list[str]:  # noqa: ARG002 - there is one folder
        return [self._entry.path]

    def walk(self, path: str) -> Iterator[Entry]:  # noqa: ARG002
        yield self._entry

    @contextmanager
    def open(self, path: str) -> Iterator[int]:  # noqa: ARG002 - there is one file
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def hash_file(self, path: str) -> bytes:  # noqa: ARG002
        with open(self.path, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()

    def learn(self, path: str, content: object, digest: bytes, read_at: int) -> None:
        """Its digest was known before it was read."""

    def missing(self, pattern: str) -> NotFound:
        return NotFound(f"{pattern!r} is not in {self.label}")
