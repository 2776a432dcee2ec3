"""One repository of a registry: the verbs of the OCI distribution-spec 1.1 that images need.

Every failure is a WherryError that names the registry and the image. What comes back is checked against the
digest that was asked for before anybody sees it as whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO

from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.base.text import one_line
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor, decode
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.auth import Authority, denied
from wherry.registry.credentials import Credentials
from wherry.registry.failures import Broken, host_of
from wherry.registry.hosts import base_url, origin
from wherry.registry.transport import Body, Response, Retries, Transport, redirected

_ACCEPT = ", ".join(
    (*media.MANIFESTS, *media.INDEXES, media.DOCKER_SCHEMA1_SIGNED, media.DOCKER_SCHEMA1, "*/*;q=0.1")
)
_MAX_ERROR = 64 * 1024
_SMALLEST, _LARGEST = 1 << 14, 1 << 20
"""Bytes that are read at a time."""
_MOMENT = 0.05
"""Seconds."""
_PROGRESS = 1 << 20
_ANSWERS = 2
"""Challenges answered for one request: the first token may have run out on the way."""

Report = Callable[[int], None]
"""Told the bytes of a blob that have gone over the wire so far. What it raises ends the transfer."""


class Document(NamedTuple):
    """A manifest or an index as the registry sent it."""

    raw: bytes
    media_type: str
    digest: Digest


class Put(NamedTuple):
    """What a registry took; `subject`: its OCI-Subject header, "" from one that does not know of subjects."""

    digest: Digest
    subject: str


class Client:
    """Talks about one repository; used by several threads at once.

    `sources` are other repositories of the same registry whose blobs are to be mounted into this one.
    """

    def __init__(
        self,
        reference: Reference,
        push: bool = False,
        sources: Sequence[str] = (),
        credentials: Credentials | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.reference = reference
        self.registry = reference.registry
        self._base = base_url(reference.registry)
        self._transport = Transport(retries)
        self._repository = f"{self._base}/v2/{reference.repository}"
        scopes = [f"repository:{reference.repository}:{'pull,push' if push else 'pull'}"]
        scopes += [f"repository:{source}:pull" for source in sources]
        self._authority = Authority(
            reference.registry, reference.repository, scopes, self._transport, credentials
        )

    def manifest(self, tag_or_digest: str) -> Document:
        """The manifest or index of that name; NotFound where there is none."""
        url = f"{self._repository}/manifests/{tag_or_digest}"
        response, raw = self._document(
            url, {"Accept": _ACCEPT}, f"no such image: {self._shown(tag_or_digest)}"
        )
        kind, promised = response.content_type, response.header("Docker-Content-Digest")
        if kind in ("text/html", "application/xhtml+xml") or raw.lstrip()[:1] == b"<":
            raise self._web_page()
        digest = digests.of(raw)
        if digests.is_digest(tag_or_digest):
            promised = tag_or_digest
        if digests.is_digest(promised) and digest != promised:
            raise Corrupt(
                f"{self.registry} sent a manifest with digest {digest} for {self._shown(tag_or_digest)},"
                f" not {promised}"
            )
        return Document(raw, kind, digest)

    def put_manifest(self, tag_or_digest: str, raw: bytes, media_type: str) -> Digest:
        """Give a manifest its name; everything that it names must be there already."""
        return self.put(tag_or_digest, raw, media_type).digest

    def put(self, tag_or_digest: str, raw: bytes, media_type: str) -> Put:
        """As `put_manifest`, with what the registry says of the manifest's subject."""
        url = f"{self._repository}/manifests/{tag_or_digest}"
        with self._ask("PUT", url, {"Content-Type": media_type}, raw) as response:
            self._expect(response, (200, 201, 202), "no such repository")
            promised, subject = response.header("Docker-Content-Digest"), response.header("OCI-Subject")
        digest = digests.of(raw)
        if digests.is_digest(promised) and promised != digest:
            raise Corrupt(f"{self.registry} took the manifest {digest} for {promised}")
        return Put(digest, subject)

    def has_manifest(self, digest: Digest) -> bool:
        with self._ask("HEAD", f"{self._repository}/manifests/{digest}", {"Accept": _ACCEPT}) as response:
            if response.status == 404:
                return False
            self._expect(response, (200,), "")
            return True

    def get(self, path: str, accept: str, missing: str = "", also: Sequence[int] = ()) -> Response:
        """What the registry has at `path`: beneath this repository, or the URL of a next page.

        Statuses of `also` are returned as 200 is; else 404 is NotFound, in the words of `missing`. To be used
        in a `with` block. Denied for a URL of another server: nobody has asked us to speak to that one.
        """
        url = path if "://" in path else f"{self._repository}/{path}"
        if origin(url) != origin(self._base):
            raise Denied(f"{self.registry} continues its list at another server, {host_of(url)}: refused")
        response = self._ask("GET", url, {"Accept": accept})
        try:
            self._expect(response, (200, *also), missing)
        except WherryError:
            response.close()
            raise
        return response

    def has_blob(self, digest: Digest) -> bool:
        with self._ask("HEAD", f"{self._repository}/blobs/{digest}") as response:
            if response.status == 404:
                return False
            self._expect(response, (200,), "")
            return True

    def small_blob(self, blob: Descriptor) -> bytes:
        """A config whole, verified."""
        if blob.size > MAX_DOCUMENT:
            raise Corrupt(f"{self.registry}: a config of {blob.size} bytes: at most {MAX_DOCUMENT} are read")
        data = bytearray()
        self.blob(blob, data.extend)
        if digests.of(bytes(data)) != blob.digest:
            raise Corrupt(f"{self.registry} sent other content than {blob.digest} for {self._shown()}")
        return bytes(data)

    def blob(
        self,
        blob: Descriptor,
        write: Callable[[bytes], object],
        report: Report = lambda _: None,
        start: int = 0,
    ) -> None:
        """Give a blob's bytes from `start` on to `write`, in order; the caller verifies their digest."""
        received = start
        for data in self.pieces(blob, start):
            write(data)
            received += len(data)
            report(received)

    def pieces(self, blob: Descriptor, start: int = 0) -> Iterator[bytes]:
        """A blob's bytes from `start` on, in order; the caller verifies their digest.

        A broken connection is taken up where it broke; retries are counted anew after each MiB of progress.
        """
        received, failures = start, 0
        while received < blob.size or not blob.size:
            before = received
            try:
                for data in self._blob_from(blob, received):
                    received += len(data)
                    yield data
                if received == blob.size:
                    return
                raise Broken(f"{self.registry} sent {received} of {blob.size} bytes of {blob.digest}")
            except Broken:
                failures = 1 if received - before >= _PROGRESS else failures + 1
                if failures >= self._transport.retries.attempts:
                    raise
                self._pause(failures)

    def mount(self, digest: Digest, source: str = "") -> str:
        """Ask for a blob from another repository; "" where it is here now, else where to upload it.

        Without `source` an upload is begun.
        """
        mounted = f"?mount={digest}&from={source}" if source else ""
        with self._ask("POST", f"{self._repository}/blobs/uploads/{mounted}", {}, b"") as response:
            self._expect(response, (201, 202), "no such repository")
            if response.status == 201 and source:
                return ""
            location = response.header("Location")
            if not location:
                raise Corrupt(f"{self.registry} took an upload and did not say where it is to go")
            return redirected(response.url, location)

    def upload(
        self,
        digest: Digest,
        size: int,
        open_blob: Callable[[], BinaryIO],
        report: Report = lambda _: None,
        location: str = "",
    ) -> None:
        """Send a blob in one piece. The first try goes to `location`; each other one begins a new upload."""
        for attempt in range(1, self._transport.retries.attempts + 1):
            try:
                self._upload_once(digest, size, open_blob, report, location or self.mount(digest))
                return
            except Broken:
                if attempt == self._transport.retries.attempts:
                    raise
                location = ""
                self._pause(attempt)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _document(self, url: str, headers: dict[str, str], missing: str) -> tuple[Response, bytes]:
        """An answer, with its whole body; asked for again where the connection breaks within that."""
        attempts = self._transport.retries.attempts
        for attempt in range(1, attempts + 1):
            with self._ask("GET", url, headers) as response:
                self._expect(response, (200,), missing)
                try:
                    return response, response.body(MAX_DOCUMENT)
                except Broken:
                    if attempt == attempts:
                        raise
            self._pause(attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _upload_once(
        self, digest: Digest, size: int, open_blob: Callable[[], BinaryIO], report: Report, location: str
    ) -> None:
        url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with open_blob() as file:

            def again() -> Body:
                file.seek(0)
                return _Counted(file, report)

            with self._ask("PUT", url, headers, again, attempts=1) as response:
                if response.status >= 500 or response.status in (408, 429, 404, 416):
                    # The upload session is lost, or the server is busy: a new upload may do.
                    raise Broken(
                        f"{self.registry} answered {response.status} to an upload{self._said(response)}"
                    )
                self._expect(response, (201, 204), "no such upload")

    def _blob_from(self, blob: Descriptor, start: int) -> Iterator[bytes]:
        """The bytes from `start` on, never more than were promised."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._ask("GET", f"{self._repository}/blobs/{blob.digest}", headers) as response:
            self._expect(response, (200, 206), f"{self._shown()} has a blob that is missing: {blob.digest}")
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

    def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: Callable[[], Body] | bytes | None = None,
        attempts: int | None = None,
    ) -> Response:
        """A request with the best credential there is; a challenge is answered, once for each new token."""
        for attempt in range(_ANSWERS + 1):
            sent = self._authority.header() if origin(url) == origin(self._base) else ""
            authorized = {"Authorization": sent} if sent else {}
            try:
                response = self._transport.request(
                    method, url, {**(headers or {}), **authorized}, body, attempts
                )
            except Broken as error:
                raise type(error)(f"{self._shown()}: {error.message}", hint=error.hint) from None
            # A challenge from a host that we were sent on to is none of ours to answer.
            if response.status != 401 or origin(response.url) != origin(self._base):
                return response
            with response:
                asked, said = response.headers("WWW-Authenticate"), self._said(response)
            if attempt == _ANSWERS or not self._authority.answer(asked, sent):
                break
        if sent.startswith("Bearer "):
            # Docker's hub says 401 for what does not exist too, to whoever may not see everything.
            raise Denied(
                f"{self.registry} denies access to {self._shown()}: it does not exist, or asks for a login"
                f"{said}",
                hint=f"check the name; for a private image `wherry login {self.registry}`",
            )
        raise denied(self.registry, self._authority.known, f"{self._shown()} needs it")

    def _expect(self, response: Response, statuses: Sequence[int], missing: str) -> None:
        """Pass an answer of one of `statuses`; all others are errors, 404 the one that `missing` says."""
        status = response.status
        if status in statuses:
            return
        said = self._said(response)
        if status == 404:
            if not said and response.content_type == "text/html":
                raise self._web_page()
            raise NotFound(
                f"{missing or 'nothing found'}: {self.registry} answers 404{said}",
                hint=f"check the name and the tag; a private image needs `wherry login {self.registry}`",
            )
        if status in (401, 403):
            raise Denied(
                f"{self.registry} denies access to {self._shown()}{said}",
                hint=f"`wherry login {self.registry}` as a user who may",
            )
        if status == 429:
            raise WherryError(
                f"{self.registry} limits its requests, {self._shown()} was refused{said}",
                hint=f"wait, or `wherry login {self.registry}` for a higher limit",
            )
        if status >= 500:
            raise WherryError(
                f"{self.registry} answered {status} for {self._shown()}{said}",
                hint="the registry has a fault or is down: try later, or ask who runs it",
            )
        raise WherryError(f"{self.registry} answered {status} for {self._shown()}{said}")

    def _said(self, response: Response) -> str:
        """The message in an error answer (distribution-spec, "Error Codes"), made harmless; "" for none."""
        try:
            document = decode(response.body(_MAX_ERROR))
            message, code = document["errors"][0].get("message"), document["errors"][0].get("code")
        except (WherryError, KeyError, IndexError, TypeError, AttributeError):
            return ""
        text = message if isinstance(message, str) and message else code
        return f": {one_line(text)[:200]}" if isinstance(text, str) and text else ""

    def _web_page(self) -> Corrupt:
        return Corrupt(
            f"{self.registry} answered with a web page, not with {self._shown()}",
            hint="check that the host is a container registry and that no login page stands before it",
        )

    def _shown(self, tag_or_digest: str = "") -> str:
        """The image as the user named it, or another one of the same repository."""
        if tag_or_digest and tag_or_digest not in (self.reference.tag, self.reference.digest):
            return f"{self.reference.familiar_name}@{tag_or_digest}"
        return self.reference.familiar

    def _pause(self, failures: int) -> None:
        time.sleep(self._transport.retries.pause(failures))


class _Counted:
    """A file whose reading is reported."""

    def __init__(self, file: BinaryIO, report: Report) -> None:
        self._file = file
        self._report = report
        self._done = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        if data:
            self._done += len(data)
            self._report(self._done)
        return data


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
