"""Immutable bytes under the name of their digest: `blobs/sha256/<hex>` (the OCI layout's own form)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.oci import digest as digests
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor
from wherry.oci.digest import Digest, sha256


class Blobs:
    """A file in `folder` is complete and has the digest of its name: it is renamed there when it is whole."""

    def __init__(self, folder: str, unfinished: str) -> None:
        self._folder = folder
        self._unfinished = unfinished

    def path(self, digest: Digest) -> str:
        return f"{self._folder}/{digests.hex_of(digest)}"

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Bytes; NotFound where there is no such blob."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"blob {digest} is not in the store") from None

    def check_size(self, blob: Descriptor) -> None:
        """Corrupt where a blob that is here has not the size that a manifest says.

        Whoever got that manifest from us would wait for bytes that there are not.
        """
        if self.has(blob.digest) and (size := self.size(blob.digest)) != blob.size:
            raise Corrupt(f"{blob.digest} has {size} bytes, not {blob.size} as its manifest says")

    def open(self, digest: Digest) -> BinaryIO:
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise NotFound(f"blob {digest} is not in the store") from None

    def read(self, digest: Digest, limit: int = MAX_DOCUMENT) -> bytes:
        """A small blob whole; Corrupt where it has more than `limit` bytes."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Corrupt(f"blob {digest} has more than {limit} bytes")
        return data

    def put(self, data: bytes) -> Digest:
        digest = digests.of(data)
        if not self.has(digest):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    def adopt(self, path: str, digest: Digest) -> None:
        """Take over a finished file on the store's file system; the caller has verified its digest."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(path, self.path(digest))
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None

    def writer(self) -> BlobWriter:
        return BlobWriter(self, self._unfinished)

    def delete(self, digest: Digest) -> int:
        """The bytes on disk that became free; 0 where there was no such blob."""
        try:
            size = os.stat(self.path(digest)).st_blocks * 512
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def all(self) -> Iterator[tuple[Digest, int]]:
        """Every blob with its size in bytes."""
        with os.scandir(self._folder) as items:
            for item in items:
                yield digests.from_hex(item.name), item.stat().st_size


class BlobWriter:
    """A blob on its way in. Leaving the `with` block without `commit` drops it."""

    def __init__(self, blobs: Blobs, unfinished: str) -> None:
        self._blobs = blobs
        self._path = f"{unfinished}/blob-{os.getpid()}-{os.urandom(8).hex()}"
        self._hash = sha256()
        self.size = 0
        self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 - closed by __exit__

    def write(self, data: bytes | bytearray | memoryview) -> int:
        try:
            _write_all(self._file, data)
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Give the blob its name; Corrupt where its digest is not `expected`."""
        digest = digests.from_hex(self._hash.hexdigest())
        if expected is not None and digest != expected:
            raise Corrupt(f"content has digest {digest}, not {expected} as was promised")
        try:
            os.fdatasync(self._file.fileno())
            os.rename(self._path, self._blobs.path(digest))
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
        return digest

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass


def _write_all(file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
    """`write` of an unbuffered file may take less than it was given."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
