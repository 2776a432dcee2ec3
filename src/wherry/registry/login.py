"""A login: a credential is tried at its registry, and kept where docker keeps it."""

from __future__ import annotations

from contextlib import closing

from wherry.base.errors import WherryError
from wherry.registry import config, mirrors
from wherry.registry.auth import Authority
from wherry.registry.config import Registries
from wherry.registry.credentials import Credential, Credentials
from wherry.registry.failures import denied
from wherry.registry.hosts import base_url, host_of
from wherry.registry.transport import Retries, Transport


def login(
    registry: str,
    credential: Credential,
    keep: Credentials,
    registries: Registries | None = None,
    retries: Retries | None = None,
) -> str:
    """Try `credential` and keep it; where it is kept. Denied where the registry refuses it.

    Where its token server gives an identity token, that is kept, and the password is not (as docker does).
    """
    registries = config.load() if registries is None else registries
    with closing(Transport(retries, trust=mirrors.trust(registries))) as transport:
        identity = _try(registry, credential, transport)
    if identity:
        credential = Credential(credential.user, identity_token=identity)
    return keep.put(registry, credential)


def _try(registry: str, credential: Credential, transport: Transport) -> str:
    """The identity token that came of it, "" for none."""
    authority = Authority(registry, "", (), transport, _Trial(credential), offline=True)
    url = f"{base_url(host_of(registry), transport)}/v2/"
    sent = ""
    for _ in range(2):
        with transport.request("GET", url, {"Authorization": sent} if sent else {}) as response:
            status, asked = response.status, response.headers("WWW-Authenticate")
            html = response.content_type == "text/html"
        if status != 401 or not authority.answer(asked, sent):
            break
        sent = authority.header()
    if status in (401, 403):
        raise denied(registry, True)
    if status != 200 or html:
        raise WherryError(
            f"{registry} answered {status} to a login{' with a web page' if html else ''}",
            hint="check that it is a container registry",
        )
    return authority.identity


class _Trial(Credentials):
    """A credential that is being tried and is not kept yet."""

    def __init__(self, credential: Credential) -> None:
        super().__init__()
        self._tried = credential

    def get(self, registry: str, repository: str = "") -> Credential | None:
        del registry, repository
        return self._tried
