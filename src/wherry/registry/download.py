"""A blob on its way from a registry, gone on with where it broke off; whoever takes it verifies its digest.

What may not be passed on, as Windows' own layers, lies at the URLs of its descriptor (image-spec,
descriptor.md), and is asked for there where the registry has not got it. A manifest is a stranger's: he must
not have us ask services that trust this machine. So it is https, or this machine where the registry is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.base.text import one_line
from wherry.oci.descriptor import Descriptor
from wherry.registry.failures import Broken, host_of
from wherry.registry.hosts import is_loopback
from wherry.registry.place import FAILURES, Place
from wherry.registry.transport import Response

_SMALLEST, _LARGEST = 1 << 17, 1 << 20
"""Bytes that are read at a time."""
_MOMENT = 0.25
"""Seconds."""
_PROGRESS = 1 << 20
"""Bytes after which failures are counted anew."""


def pieces(place: Place, blob: Descriptor, start: int) -> Iterator[bytes]:
    """The bytes from `start` to the end, with a new request after each break."""
    return _whole(place, place.url(f"blobs/{blob.digest}"), blob, start)


def or_elsewhere(found: Iterator[bytes], place: Place, blob: Descriptor, start: int) -> Iterator[bytes]:
    """`found`, the registry's bytes from `start` on; where it has none, those that one of the URLs gives."""
    at = start
    try:
        for data in found:
            at += len(data)
            yield data
        return
    except NotFound as error:
        failure: WherryError = error
    for url in blob.urls:
        try:
            for data in _whole(place, _allowed(place, url), blob, at):
                at += len(data)
                yield data
            return
        except FAILURES as error:
            failure = error
    raise NotFound(
        f"{place.shown()}: {place.registry} has not got the layer {blob.digest}, and its URLs do not give it:"
        f" {failure.message}"
    )


def _allowed(place: Place, url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        valid = url.isascii() and url.isprintable() and parts.port != 0
        scheme, host = parts.scheme, parts.hostname if valid else ""
    except ValueError:
        scheme = host = ""
    if host and (
        scheme == "https" or (scheme == "http" and is_loopback(place.registry) and is_loopback(host))
    ):
        return url
    raise Denied(f"{one_line(url)[:200]} is not asked for a layer: it is no URL of https")


def _whole(place: Place, url: str, blob: Descriptor, start: int) -> Iterator[bytes]:
    received, failures = start, 0
    while received < blob.size or not blob.size:
        before = received
        try:
            for data in _part(place, url, blob, received):
                received += len(data)
                yield data
            if received == blob.size:
                return
            raise Broken(f"{host_of(url)} sent {received} of {blob.size} bytes of {blob.digest}")
        except Broken:
            failures = 1 if received - before >= _PROGRESS else failures + 1
            if failures >= place.transport.retries.attempts:
                raise
            place.pause(failures)


def _part(place: Place, url: str, blob: Descriptor, start: int) -> Iterator[bytes]:
    """The bytes from `start` on, never more than were promised."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with place.ask("GET", url, headers) as response:
        place.expect(response, (200, 206), f"{place.shown()} has a blob that is missing: {blob.digest}")
        _check_length(response, blob, start)
        # A server that knows no ranges sends all of it again: what is there already is passed over.
        skip, left = (start if response.status == 200 else 0), blob.size - start
        for data in _blocks(response):
            data, skip = data[skip:], max(skip - len(data), 0)
            left -= len(data)
            if left < 0:
                raise Corrupt(f"{blob.digest} has more than the {blob.size} bytes that were promised")
            if data:
                yield data


def _blocks(response: Response) -> Iterator[bytes]:
    """The body in blocks as large as come in a moment: what a break makes of one is lost."""
    size = _SMALLEST
    while True:
        began = time.monotonic()
        data = response.read(size)
        if not data:
            return
        yield data
        quick = time.monotonic() - began < _MOMENT
        size = min(size * 2, _LARGEST) if quick else max(size // 2, _SMALLEST)


def _check_length(response: Response, blob: Descriptor, start: int) -> None:
    """The length that the headers announce, and the place where a part begins (RFC 9110, 14.4)."""
    expected = blob.size - start if response.status == 206 else blob.size
    if response.length is not None and response.length != expected:
        raise Corrupt(
            f"{host_of(response.url)} sends {response.length} bytes for {blob.digest}, not {expected}"
        )
    part = response.header("Content-Range")
    if response.status == 206 and not part.startswith(f"bytes {start}-"):
        raise Corrupt(f"asked for {blob.digest} from byte {start} on, was sent {one_line(part)[:80]!r}")
