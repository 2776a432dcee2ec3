"""Content digests: `sha256:<64 hex>` (OCI image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType

from wherry.base.errors import WherryError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

Digest = NewType("Digest", str)

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

NO_LAYERS = Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""What stands for the chain ID of no layers at all: the digest of nothing."""


def parse(text: str) -> Digest:
    """`text` checked; only sha256 is accepted, so that a digest may be used as a file name."""
    if not _SHA256.fullmatch(text):
        raise WherryError(f"not a sha256 digest: {text[:100]!r}")
    return Digest(text)


def is_digest(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def sha256(data: bytes = b"") -> Hash:
    """hashlib's, whose library takes 3 ms to load: `run`, `exec` and `ps` hash nothing."""
    import hashlib

    return hashlib.sha256(data)


def of(data: bytes) -> Digest:
    return Digest("sha256:" + sha256(data).hexdigest())


def from_hex(text: str) -> Digest:
    return parse("sha256:" + text)


def hex_of(digest: Digest) -> str:
    """The 64 hex digits, as used in file names."""
    return digest[7:]


def short(digest: Digest) -> str:
    """The 12 digits that tables show."""
    return digest[7:19]


def chain_id(diff_ids: tuple[Digest, ...]) -> Digest:
    """The chain ID of a stack of layers (OCI image-spec, config.md, "Layer ChainID")."""
    chain = NO_LAYERS
    for diff_id in diff_ids:
        chain = chain_above(chain, diff_id)
    return chain


def chain_above(below: Digest, diff_id: Digest) -> Digest:
    """The chain ID of the stack with the chain ID `below` and one more layer on top of it."""
    return diff_id if below == NO_LAYERS else _chained(below, diff_id)


class ChainIds:
    """Chain IDs of stacks that grow from one another: each is made of the one below, where that is known."""

    def __init__(self) -> None:
        self._known: dict[tuple[Digest, ...], Digest] = {}

    def of(self, diff_ids: tuple[Digest, ...]) -> Digest:
        if diff_ids not in self._known:
            below = self._known.get(diff_ids[:-1]) if len(diff_ids) > 1 else None
            self._known[diff_ids] = _chained(below, diff_ids[-1]) if below else chain_id(diff_ids)
        return self._known[diff_ids]


def _chained(below: Digest, diff_id: Digest) -> Digest:
    return of(f"{below} {diff_id}".encode())
