"""One repository of one registry as it is spoken to: its address, who we are to it, its refusals in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from wherry.base.errors import Corrupt, Denied, NotFound, WherryError
from wherry.base.text import one_line
from wherry.oci.descriptor import decode
from wherry.oci.reference import Reference
from wherry.registry.auth import Authority
from wherry.registry.certificates import Trust
from wherry.registry.credentials import Credentials
from wherry.registry.failures import Broken, Refused, denied
from wherry.registry.hosts import base_url, host_of, origin
from wherry.registry.mirrors import Source
from wherry.registry.transport import Body, Response, Retries, Transport

_MAX_ERROR = 64 * 1024
_ANSWERS = 2
"""Challenges answered for one request: the first token may have run out on the way."""

FAILURES = (Broken, Corrupt, Denied, NotFound, Refused)
"""What a request to a registry fails with; another place may have what this one has not."""


class Place:
    """Where an image is read from or pushed to; used by several threads at once.

    `named` is what the user calls it: a mirror's place has another name. `scopes` are those of a token:
    `repository:library/flask:pull`.
    """

    def __init__(
        self,
        source: Source,
        named: Reference,
        scopes: Sequence[str],
        trust: Trust,
        credentials: Credentials | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.reference, self.file = source.reference, source.file
        self.registry = source.reference.registry
        self.named = named
        self.transport = Transport(retries, trust=trust)
        self._authority = Authority(
            self.registry, source.reference.repository, scopes, self.transport, credentials
        )
        self._base = ""
        self._lock = Lock()

    def url(self, path: str) -> str:
        """`path` in this repository: `manifests/v1`."""
        return f"{self._found()}/v2/{self.reference.repository}/{path}"

    def ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: Callable[[], Body] | bytes | None = None,
        attempts: int | None = None,
    ) -> Response:
        """A request with the best credential there is; a challenge is answered, once for each new token."""
        own = origin(self._found())
        for attempt in range(_ANSWERS + 1):
            sent = self._authority.header() if origin(url) == own else ""
            authorized = {"Authorization": sent} if sent else {}
            try:
                response = self.transport.request(
                    method, url, {**(headers or {}), **authorized}, body, attempts
                )
            except Broken as error:
                raise type(error)(f"{self.shown()}: {error.message}", hint=error.hint) from None
            # A challenge from a host that we were sent on to is none of ours to answer.
            if response.status != 401 or origin(response.url) != own:
                return response
            with response:
                asked, said = response.headers("WWW-Authenticate"), self.said(response)
            if attempt == _ANSWERS or not self._authority.answer(asked, sent):
                break
        if sent.startswith("Bearer "):
            # Docker's hub says 401 for what does not exist too, to whoever may not see everything.
            raise Denied(
                f"{self.registry} denies access to {self.shown()}: it does not exist, or asks for a login"
                f"{said}",
                hint=f"check the name; for a private image `wherry login {self.registry}`",
            )
        raise denied(self.registry, self._authority.known, f"{self.shown()} needs it")

    def expect(self, response: Response, statuses: Sequence[int], missing: str) -> None:
        """Pass an answer of one of `statuses`; all others are errors, 404 the one that `missing` says."""
        status = response.status
        if status in statuses:
            return
        said = self.said(response)
        if status == 404:
            if not said and response.content_type == "text/html":
                raise self.web_page()
            raise NotFound(
                f"{missing or 'nothing found'}: {self.registry} answers 404{said}",
                hint=f"check the name and the tag; a private image needs `wherry login {self.registry}`",
            )
        if status in (401, 403):
            raise Denied(
                f"{self.registry} denies access to {self.shown()}{said}",
                hint=f"`wherry login {self.registry}` as a user who may",
            )
        if status == 429:
            raise Refused(
                f"{self.registry} limits its requests, {self.shown()} was refused{said}",
                hint=f"wait, or `wherry login {self.registry}` for a higher limit",
            )
        if status >= 500:
            raise Refused(
                f"{self.registry} answered {status} for {self.shown()}{said}",
                hint="the registry has a fault or is down: try later, or ask who runs it",
            )
        raise Refused(f"{self.registry} answered {status} for {self.shown()}{said}")

    def said(self, response: Response) -> str:
        """The message in an error answer (distribution-spec, "Error Codes"), made harmless; "" for none."""
        try:
            document = decode(response.body(_MAX_ERROR))
            message, code = document["errors"][0].get("message"), document["errors"][0].get("code")
        except (WherryError, KeyError, IndexError, TypeError, AttributeError):
            return ""
        text = message if isinstance(message, str) and message else code
        if not isinstance(text, str) or not text:
            return ""
        return f": {one_line(self._authority.masked(text))[:200]}"

    def web_page(self) -> Corrupt:
        return Corrupt(
            f"{self.registry} answered with a web page, not with {self.shown()}",
            hint="check that the host is a container registry and that no login page stands before it",
        )

    def shown(self, tag_or_digest: str = "") -> str:
        """The image as the user named it, or another one of the same repository."""
        if tag_or_digest and tag_or_digest not in (self.named.tag, self.named.digest):
            return f"{self.named.familiar_name}@{tag_or_digest}"
        return self.named.familiar

    def pause(self, failures: int, asked: float = 0.0) -> None:
        """Wait behind failure number `failures`, and as long as the server `asked` for (seconds)."""
        import time

        time.sleep(self.transport.retries.pause(failures, asked))

    def close(self) -> None:
        self.transport.close()

    def _found(self) -> str:
        """Its scheme and host; the first call may have to ask the host for the scheme."""
        with self._lock:
            self._base = self._base or base_url(host_of(self.registry), self.transport)
            return self._base
