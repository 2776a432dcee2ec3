"""One repository of a registry: the verbs of the OCI distribution-spec 1.1 that images need.

Every failure is a WherryError that names the registry and the image. What comes back is checked against the
digest that was asked for before anybody sees it as whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO

from wherry.base.errors import Corrupt, Denied, NotFound
from wherry.base.events import Emit, ignore
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import MAX_DOCUMENT, Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry import config, mirrors
from wherry.registry.access import USUAL, Access
from wherry.registry.credentials import Credentials
from wherry.registry.failures import Broken, host_of
from wherry.registry.hosts import origin
from wherry.registry.mirrors import Source
from wherry.registry.place import Place
from wherry.registry.places import Places
from wherry.registry.transport import Response, Retries

_ACCEPT = ", ".join(
    (*media.MANIFESTS, *media.INDEXES, media.DOCKER_SCHEMA1_SIGNED, media.DOCKER_SCHEMA1, "*/*;q=0.1")
)

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

    `sources` are other repositories of the same registry whose blobs are to be mounted into this one. What is
    read may come from mirrors, as `access` says; a push goes to the registry itself. What a user should know
    of that is told to `emit`.
    """

    def __init__(
        self,
        reference: Reference,
        push: bool = False,
        sources: Sequence[str] = (),
        access: Access = USUAL,
        emit: Emit = ignore,
    ) -> None:
        self.reference = reference
        self.registry = reference.registry
        registries = config.load() if access.registries is None else access.registries
        mounted = [f"repository:{source}:pull" for source in sources]

        known = access.credentials or Credentials(helpers=registries.helpers)

        def place(source: Source, retries: Retries | None) -> Place:
            scope = f"repository:{source.reference.repository}:{'pull,push' if push else 'pull'}"
            trust = mirrors.trust(registries, source)
            return Place(source, reference, [scope, *mounted], trust, known, retries)

        self._hint = mirrors.hint(registries)
        *others, home = mirrors.sources(registries, reference, push)
        hasty = _hasty(access.retries or Retries())
        self._places = Places([*(place(one, hasty) for one in others), place(home, access.retries)], emit)

    def manifest(self, tag_or_digest: str) -> Document:
        """The manifest or index of that name; NotFound where there is none."""
        try:
            return self._places.first(lambda place: _manifest(place, tag_or_digest))
        except (NotFound, Denied) as error:
            error.hint = self._hint or error.hint
            raise

    def put_manifest(self, tag_or_digest: str, raw: bytes, media_type: str) -> Digest:
        """Give a manifest its name; everything that it names must be there already."""
        return self.put(tag_or_digest, raw, media_type).digest

    def put(self, tag_or_digest: str, raw: bytes, media_type: str) -> Put:
        """As `put_manifest`, with what the registry says of the manifest's subject."""
        place = self._places.home
        url = place.url(f"manifests/{tag_or_digest}")
        with place.ask("PUT", url, {"Content-Type": media_type}, raw) as response:
            place.expect(response, (200, 201, 202), "no such repository")
            promised, subject = response.header("Docker-Content-Digest"), response.header("OCI-Subject")
        digest = digests.of(raw)
        if digests.is_digest(promised) and promised != digest:
            raise Corrupt(f"{self.registry} took the manifest {digest} for {promised}")
        return Put(digest, subject)

    def has_manifest(self, digest: Digest) -> bool:
        return self._has(f"manifests/{digest}", {"Accept": _ACCEPT})

    def page(
        self, path: str, accept: str, missing: str = "", also: Sequence[int] = ()
    ) -> tuple[Response, bytes]:
        """What the registry has at `path`, with its body: beneath this repository, or the URL of a next page.

        Statuses of `also` are returned as 200 is; else 404 is NotFound, in the words of `missing`. Denied for
        a URL of another server: nobody has asked us to speak to that one.
        """
        place = self._places.home
        url = path if "://" in path else place.url(path)
        if origin(url) != origin(place.url("")):
            raise Denied(f"{place.registry} continues its list at another server, {host_of(url)}: refused")
        return _document(place, url, accept, missing, also)

    def redirected(self, response: Response, location: str) -> str:
        """The absolute form of a URL that an answer of `get` leads on to; WherryError for one not to use."""
        return self._places.home.transport.redirected(response.url, location)

    def has_blob(self, digest: Digest) -> bool:
        return self._has(f"blobs/{digest}", {})

    def small_blob(self, blob: Descriptor) -> bytes:
        """A config whole, verified."""
        if blob.size > MAX_DOCUMENT:
            raise Corrupt(f"{self.registry}: a config of {blob.size} bytes: at most {MAX_DOCUMENT} are read")
        return self._places.first(lambda place: _small_blob(place, blob))

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
        """A blob's bytes from `start` on, in order; the caller verifies their digest. See `download`."""
        from wherry.registry import download

        pieces = self._places.stream(lambda place, at: download.pieces(place, blob, at), start)
        return download.or_elsewhere(pieces, self._places.home, blob, start) if blob.is_foreign else pieces

    @property
    def place(self) -> int:
        """Which of the mirrors is asked at the moment, or the registry itself."""
        return self._places.at

    def distrust(self, place: int, error: Corrupt) -> bool:
        """What that place sent was wrong: whether there is another one, which is asked from now on."""
        return self._places.distrust(place, error)

    def mount(self, digest: Digest, source: str = "") -> str:
        """Ask for a blob from another repository; "" where it is here now, else where to upload it.

        Without `source` an upload is begun.
        """
        mounted = f"?mount={digest}&from={source}" if source else ""
        place = self._places.home
        with place.ask("POST", place.url(f"blobs/uploads/{mounted}"), {}, b"") as response:
            place.expect(response, (201, 202), "no such repository")
            if response.status == 201 and source:
                return ""
            location = response.header("Location")
            if not location:
                raise Corrupt(f"{self.registry} took an upload and did not say where it is to go")
            return place.transport.redirected(response.url, location)

    def upload(
        self,
        digest: Digest,
        size: int,
        open_blob: Callable[[], BinaryIO],
        report: Report = lambda _: None,
        location: str = "",
    ) -> None:
        """Send a blob; the first try goes to `location`, which a `mount` gave. See `Upload`."""
        from wherry.registry.upload import Upload

        place = self._places.home
        Upload(place, digest, size, open_blob, report, lambda: self.mount(digest), location).run()

    def close(self) -> None:
        self._places.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _has(self, path: str, headers: dict[str, str]) -> bool:
        place = self._places.home
        with place.ask("HEAD", place.url(path), headers) as response:
            if response.status == 404:
                return False
            place.expect(response, (200,), "")
            return True


def _hasty(retries: Retries) -> Retries:
    """How a mirror is asked: there is another place to turn to."""
    return retries._replace(attempts=min(retries.attempts, 2), longest=min(retries.longest, 1.0))


def _manifest(place: Place, tag_or_digest: str) -> Document:
    shown = place.shown(tag_or_digest)
    url = place.url(f"manifests/{tag_or_digest}")
    response, raw = _document(place, url, _ACCEPT, f"no such image: {shown}")
    kind, promised = response.content_type, response.header("Docker-Content-Digest")
    if kind in ("text/html", "application/xhtml+xml") or raw.lstrip()[:1] == b"<":
        raise place.web_page()
    digest = digests.of(raw)
    if digests.is_digest(tag_or_digest):
        promised = tag_or_digest
    if digests.is_digest(promised) and digest != promised:
        raise Corrupt(f"{place.registry} sent a manifest with digest {digest} for {shown}, not {promised}")
    if raw.lstrip()[:1] != b"{":
        raise Corrupt(f"{place.registry} sent no JSON document for {shown}")
    return Document(raw, kind, digest)


def _small_blob(place: Place, blob: Descriptor) -> bytes:
    from wherry.registry import download

    data = b"".join(download.pieces(place, blob, 0))
    if digests.of(data) != blob.digest:
        raise Corrupt(f"{place.registry} sent other content than {blob.digest} for {place.shown()}")
    return data


def _document(
    place: Place, url: str, accept: str, missing: str, also: Sequence[int] = ()
) -> tuple[Response, bytes]:
    """An answer, with its whole body; asked for again where the connection breaks within that."""
    attempts = place.transport.retries.attempts
    for attempt in range(1, attempts + 1):
        with place.ask("GET", url, {"Accept": accept}) as response:
            place.expect(response, (200, *also), missing)
            try:
                return response, response.body(MAX_DOCUMENT)
            except Broken:
                if attempt == attempts:
                    raise
        place.pause(attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")
