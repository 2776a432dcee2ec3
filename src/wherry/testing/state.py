"""What a registry of the tests has and knows, apart from how it is asked."""

from __future__ import annotations

import time

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.testing.faults import Fault


class Asked(NamedTuple):
    """One line of the log; `received` are the bytes of its body that came."""

    method: str
    path: str
    headers: dict[str, str]
    received: int = 0


class State:
    """All of it may be read and changed by a test at any time, also while the registry is asked."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        """By repository and digest."""
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        """Media type and bytes, by repository and tag or digest."""
        self.uploads: dict[str, bytearray] = {}
        """What has come of blobs that are not whole yet."""
        self.log: list[Asked] = []
        self.faults: list[Fault] = []
        """The first that strikes a request happens to it."""
        self.host = self.url = ""

        self.ranges = True
        """Whether the header Range is known."""
        self.chunks = True
        """Whether uploads may come in several pieces (PATCH)."""
        self.smallest_chunk = 0
        """Bytes that every piece but the last must have (OCI-Chunk-Min-Length); 0: it is not said."""
        self.referrers = True
        """Whether there is the Referrers API."""
        self.page = 0
        """Tags or referrers told at once; 0: all of them."""
        self.checks_names = True
        """Whether a manifest is refused that names what is not there."""

        self.user = self.password = self.identity_token = ""
        self.tokens = False
        self.lifetime = 300.0
        self.issued: dict[str, tuple[float, list[str]]] = {}
        """For each token the time when it ends, by time.monotonic(), and its scopes."""

    def add_blob(self, repository: str, data: bytes) -> Digest:
        digest = digests.of(data)
        self.blobs[repository, digest] = data
        return digest

    def add_manifest(self, repository: str, tag: str, raw: bytes, media_type: str) -> Digest:
        """`tag` may be its digest too."""
        digest = digests.of(raw)
        for name in (tag, digest):
            self.manifests[repository, name] = (media_type, raw)
        return digest

    def tags(self, repository: str) -> list[str]:
        names = [name for place, name in list(self.manifests) if place == repository]
        return sorted(name for name in names if not digests.is_digest(name))

    def expire(self) -> None:
        """All tokens end now."""
        now = time.monotonic()
        for token, (_, scopes) in list(self.issued.items()):
            self.issued[token] = (now, scopes)
