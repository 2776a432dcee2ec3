"""How registries are spoken to: what this machine and its user have said of them, by whom, how patiently."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.registry import config
from wherry.registry.config import Registries
from wherry.registry.credentials import Credentials
from wherry.registry.transport import Retries


class Access(NamedTuple):
    """What is None is the machine's and the user's own: their configuration, their credentials."""

    registries: Registries | None = None
    credentials: Credentials | None = None
    retries: Retries | None = None


USUAL = Access()


def load(verify: bool | None = None, written: str = "") -> Access:
    """This machine's and user's, for an image whose name the user has `written` so; as `config.load`."""
    return Access(config.load(verify, written))
