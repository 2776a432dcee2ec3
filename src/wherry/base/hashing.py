"""SHA-256, of a library that is loaded when the first byte is to be hashed: OpenSSL's takes 3 ms to load, and
`run`, `exec` and `ps` hash nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash as Hash


def sha256(data: bytes = b"") -> Hash:
    import hashlib

    return hashlib.sha256(data)
