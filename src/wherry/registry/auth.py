"""Who we are to a registry: no one, a user with a password, or the bearer of a token for some scopes.

A request goes out with what is known; a 401 says what is asked for (RFC 9110, 11), and is answered once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock

from wherry.base.errors import Denied
from wherry.registry import challenge as challenges
from wherry.registry import tokens
from wherry.registry.challenge import Challenge
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.transport import Transport


class Authority:
    """Answers the challenges of one registry for `scopes` (`repository:library/flask:pull`); thread-safe.

    The credential is looked up when the registry first asks for one: a helper program is run only then.
    `offline`: an identity token is asked for, and is in `identity` afterwards where there is one.
    """

    def __init__(
        self,
        registry: str,
        repository: str,
        scopes: Sequence[str],
        transport: Transport,
        credentials: Credentials | None = None,
        offline: bool = False,
    ) -> None:
        self.registry = registry
        self.identity = ""
        self._repository = repository
        self._scopes = tuple(scopes)
        self._transport = transport
        self._credentials = credentials or Credentials()
        self._offline = offline
        self._credential: Credential | None = None
        self._looked_up = False
        self._header = ""
        self._expires = float("inf")
        self._asked: Challenge | None = None
        self._lock = Lock()

    @property
    def known(self) -> bool:
        """Whether there is a credential, as far as it has been looked up."""
        return self._credential is not None

    def header(self) -> str:
        """The Authorization header to send; "" for none.

        A token that ran out is renewed first: a layer would have to be sent twice otherwise.
        """
        with self._lock:
            if time.monotonic() >= self._expires and self._asked:
                self._settle(self._asked)
            return self._header

    def answer(self, headers: Sequence[str], sent: str) -> bool:
        """After a 401 to a request with the header `sent`: whether it is of use to ask again.

        Threads that get a 401 together fetch one token. Denied where the credentials are refused, and where
        nothing is asked for that we can give.
        """
        with self._lock:
            if self._header and self._header != sent and time.monotonic() < self._expires:
                return True
            offered = challenges.parse(headers)
            asked = challenges.choose(offered)
            if asked is None:
                if offered:
                    raise self._cannot(offered)
                return False
            self._settle(asked)
            return bool(self._header) and self._header != sent

    def masked(self, text: str) -> str:
        """What a server said, without what it was sent: some repeat that in their errors."""
        with self._lock:
            sent = self._header.partition(" ")[2]
            text = text.replace(sent, "***") if sent else text
            return self._credential.masked(text) if self._credential else text

    def _settle(self, asked: Challenge) -> None:
        """Find what answers a challenge, and keep it for the requests to come."""
        credential = self._look_up()
        self._asked, self._expires = asked, float("inf")
        if asked.scheme == "basic":
            self._header = credential.basic if credential and credential.user else ""
        elif credential and credential.registry_token:
            self._header = f"Bearer {credential.registry_token}"
        else:
            grant = tokens.fetch(
                self.registry, asked, credential, self._scopes, self._transport, self._offline
            )
            self._header, self._expires = f"Bearer {grant.token}", time.monotonic() + grant.seconds
            self.identity = grant.identity
            if credential and credential.identity_token and grant.identity:
                # A server may take the old one back when it gives a new one (RFC 6749, 6).
                self._credential = credential._replace(identity_token=grant.identity)

    def _look_up(self) -> Credential | None:
        if not self._looked_up:
            self._credential = self._credentials.get(self.registry, self._repository)
            self._looked_up = True
        return self._credential

    def _cannot(self, offered: Sequence[Challenge]) -> Denied:
        schemes = ", ".join(dict.fromkeys(challenge.scheme.capitalize() for challenge in offered))
        return Denied(
            f"{self.registry} asks for a login by {schemes[:80]}, which is not supported",
            hint="Basic and Bearer are: ask who runs the registry",
        )
