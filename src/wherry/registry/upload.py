"""A blob on its way to a registry, gone on with where it broke off (distribution-spec 1.1, "Pushing blobs").

Small blobs go in one PUT. Others go in one PATCH without a range and are finished by an empty PUT, as docker
sends them: that is the form that every registry takes. Of pieces with ranges GitHub's takes none above 4 MiB
and Amazon's keeps the first alone. When the way breaks, the registry is asked how much has come, and only the
rest goes out, with its range.

Docker's own registry keeps that rest from us before its version 3: it forgets an upload that broke within a
request. Then, and whenever a registry does not know how far it is, a new upload begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from wherry.base.errors import WherryError
from wherry.oci.digest import Digest
from wherry.registry.failures import Broken
from wherry.registry.place import Place
from wherry.registry.transport import Body, Response

Open = Callable[[], BinaryIO]
Report = Callable[[int], None]

WHOLE = 1 << 18
"""Bytes that go in one request: to ask how much of them has come would take as long as to send them."""
_PROGRESS = 1 << 20
"""Bytes after which failures are counted anew."""
_PIECE = {"Content-Type": "application/octet-stream"}


class Upload:
    """One blob. `begin` asks the registry for a new place to send it to; `location` is such a place."""

    def __init__(
        self,
        place: Place,
        digest: Digest,
        size: int,
        open_blob: Open,
        report: Report,
        begin: Callable[[], str],
        location: str = "",
    ) -> None:
        self._place = place
        self._digest = digest
        self._size = size
        self._open = open_blob
        self._report = report
        self._begin = begin
        self._location = location
        self._received = 0
        """Bytes that the registry has, as far as it told us."""
        self._in_one = size <= WHOLE
        self._resumed, self._resumable = False, True

    def run(self) -> None:
        """Until the registry has the blob; Broken where it breaks again and again."""
        failures = furthest = 0
        while True:
            try:
                self._location = self._location or self._begin()
                self._send()
                return
            except Broken as error:
                broken = error
            self._find_out()
            if self._is_there():
                return
            failures += 1
            if self._received - furthest >= _PROGRESS:
                # Further than ever: one that loses again and again what it had comes to no end.
                failures, furthest = 1, self._received
            if failures >= self._place.transport.retries.attempts:
                raise broken
            self._place.pause(failures, broken.wait)

    def _send(self) -> None:
        if self._in_one:
            self._put(0)
            return
        while self._received < self._size:
            self._patch()
        self._put(self._received)

    def _patch(self) -> None:
        """Everything that the registry has not got, in one request."""
        start, end = self._received, self._size - 1
        headers = _PIECE | {"Content-Length": str(end - start + 1)}
        if start:
            headers["Content-Range"] = f"{start}-{end}"
        with self._sent("PATCH", self._location, headers, start) as response:
            if response.status in (405, 501):
                # It takes blobs whole and in no other way.
                self._in_one, self._location = True, ""
                raise Broken(f"{self._place.registry} takes no blobs in pieces")
            self._take(response, (201, 202, 204))
            told = self._told(response)
            if told is not None and told <= start:
                raise Broken(f"{self._place.registry} received nothing of the bytes from {start} on")
            self._received = told or self._size

    def _put(self, start: int) -> None:
        """The end; all of it, or nothing, before that."""
        url = f"{self._location}{'&' if '?' in self._location else '?'}digest={self._digest}"
        headers = _PIECE | {"Content-Length": str(self._size - start)}
        with self._sent("PUT", url, headers, start) as response:
            self._take(response, (201, 204))

    def _sent(self, method: str, url: str, headers: dict[str, str], start: int) -> Response:
        with self._open() as file:

            def body() -> Body:
                if file.tell() != start:
                    file.seek(start)
                return _Counted(file, self._report, start)

            return self._place.ask(method, url, headers, body if start < self._size else b"", attempts=1)

    def _take(self, response: Response, statuses: tuple[int, ...]) -> None:
        """Pass an answer of one of `statuses`. Broken where another try may do."""
        if response.status >= 500 or response.status in (404, 408, 416, 429):
            # The upload is lost or further than we thought, or the server is busy.
            status = "416 (range not satisfiable)" if response.status == 416 else response.status
            error = Broken(
                f"{self._place.registry} answered {status} to an upload{self._place.said(response)}"
            )
            error.wait = response.retry_after
            raise error
        if response.status == 400 and self._resumed:
            # It has not put the pieces together as we did.
            self._resumable, self._location = False, ""
            raise Broken(f"{self._place.registry} refuses an upload{self._place.said(response)}")
        self._place.expect(response, statuses, "no such upload")
        self._move(response)

    def _find_out(self) -> None:
        """How much the registry has of what broke off; where that is not to be had, nothing."""
        location, self._location = self._location, ""
        self._received = 0
        if not location or self._in_one or not self._resumable:
            return
        try:
            with self._place.ask("GET", location, attempts=1) as response:
                told = self._told(response) if response.status in (200, 202, 204) else None
                if told:
                    self._received, self._location, self._resumed = told, location, True
                    self._move(response)
        except WherryError:
            self._received, self._location = 0, ""

    def _is_there(self) -> bool:
        """Whether the blob came whole after all, and only the answer was lost."""
        if self._location:
            return False
        try:
            url = self._place.url(f"blobs/{self._digest}")
            with self._place.ask("HEAD", url, attempts=1) as response:
                return response.status == 200
        except WherryError:
            return False

    def _move(self, response: Response) -> None:
        """Registries name another place in each answer: the old one is of no use any more."""
        if location := response.header("Location"):
            self._location = self._place.transport.redirected(response.url, location)

    def _told(self, response: Response) -> int | None:
        """The bytes that the registry says it has; None where it says nothing that could be true.

        The first and the last byte's number are told, so 0-0 is one byte or, with docker's registry, none.
        """
        match = re.fullmatch(r"(?:bytes[= ])?0-(\d{1,18})", response.header("Range"))
        told = int(match[1]) + 1 if match else 0
        return told if 1 < told <= self._size else None


class _Counted:
    """A file whose reading is reported; `done` bytes of it have been sent before."""

    def __init__(self, file: BinaryIO, report: Report, done: int) -> None:
        self._file = file
        self._report = report
        self._done = done

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        if data:
            self._done += len(data)
            self._report(self._done)
        return data
