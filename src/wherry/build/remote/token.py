"""Who asks for a private repository, where the build lends a token."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wherry.base.errors import UsageError
from wherry.build.remote.address import Account, Repository

if TYPE_CHECKING:
    from wherry.build.lending import Secret

_TOKEN = "GIT_AUTH_TOKEN"


def account(repository: Repository, secrets: tuple[Secret, ...]) -> Account | None:
    """By BuildKit's secrets GIT_AUTH_TOKEN.HOST, for one host alone, or GIT_AUTH_TOKEN."""
    lent = {secret.id: secret for secret in secrets}
    host = urlsplit(repository.url).hostname
    secret = lent.get(f"{_TOKEN}.{host}") or lent.get(_TOKEN)
    if secret is None:
        return None
    token = (secret.read() or b"").decode("utf-8", "replace").strip()
    if not token.isprintable():
        # git is told of it in a line, and would take a second one for something else.
        raise UsageError(f"the secret {secret.id!r} is no token: it is more than a line of text")
    return Account("x-access-token", token) if token else None
