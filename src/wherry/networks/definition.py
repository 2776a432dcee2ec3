"""Networks that users have made: what each is called, and which addresses belong to it.

    networks/defined/<name>.json   one network: written once, whole, and never changed
    networks/keeper/               where its keeper is to be found (keeper.py)

Whoever deletes a network holds the lock of `defined/` alone, whoever begins to use one shares it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wherry.base import locks, values
from wherry.base.errors import Corrupt, NotFound, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.store import events

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
BUILT_IN = ("default", "bridge", "host", "none")
"""Names that mean something else; `bridge` is docker's word for `default`."""

_ID = re.compile(r"[0-9a-f]{1,64}")


class Subnet(NamedTuple):
    """The addresses `cidr`. `gateway` is the network's own, where it answers for names; `pool` (a cidr within
    the first one, or empty) is where those of containers come from that ask for none."""

    cidr: str
    gateway: str
    pool: str = ""


class Network(NamedTuple):
    """`id` has 64 hex digits, `created` is in unix seconds. The first subnet is IPv4, another one IPv6.

    `internal`: containers on nothing but such networks reach nothing outside. `mtu` 0 is the kernel's own.
    """

    id: str
    name: str
    created: float
    subnets: tuple[Subnet, ...]
    internal: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    mtu: int = 0

    @property
    def gateway(self) -> str:
        return self.subnets[0].gateway


class Networks:
    """The networks of the store at `root`; it needs no open store."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._path = f"{root}/networks/defined"

    def create(self, network: Network) -> None:
        """Enter a network, whose subnets nobody else has; WherryError where its name is taken."""
        temporary = f"{self._path}/.{network.id}"
        try:
            with open(temporary, "w", encoding="ascii") as file:
                json.dump(values.encode(network), file)
            try:
                os.link(temporary, self._file(network.name))
            finally:
                os.unlink(temporary)
            self._record(network, "create")
        except FileExistsError:
            raise WherryError(
                f"network with name {network.name} already exists", hint="`wherry network ls` lists them"
            ) from None
        except OSError as error:
            raise WherryError(f"cannot write to {self._path}: {error.strerror}") from None

    def get(self, name: str) -> Network | None:
        """The network of exactly that name."""
        if not NAME.fullmatch(name):
            return None
        try:
            with open(self._file(name), "rb") as file:
                return decoded(json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, Corrupt) as error:
            path = self._file(name)
            raise Corrupt(f"{path} is damaged: {error}", hint=f"delete it: rm {path}") from None

    def find(self, text: str) -> Network:
        """By name, ID or the beginning of an ID; NotFound where there is none."""
        named = self.get(text)
        if named:
            return named
        found = [one for one in self.all() if one.id.startswith(text)] if _ID.fullmatch(text) else []
        if len(found) > 1:
            raise WherryError(f"{text!r} is the beginning of several network IDs", hint="write more of it")
        if not found:
            raise NotFound(
                f"network {text} not found", hint="`wherry network ls` lists the ones that are here"
            )
        return found[0]

    def all(self) -> list[Network]:
        """In the order of their names."""
        try:
            names = [name[:-5] for name in os.listdir(self._path) if name.endswith(".json")]
        except FileNotFoundError:
            return []
        return [network for name in sorted(names) if (network := self.get(name))]

    def remove(self, network: Network) -> None:
        """To be called by whoever holds `locked`, and knows that nobody uses it."""
        os.unlink(self._file(network.name))
        self._record(network, "destroy")

    def _record(self, network: Network, action: str) -> None:
        events.record(self.root, "network", action, network.id, {"name": network.name, "type": "bridge"})

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Alone with all networks (to choose addresses, to delete), or with others who begin to use one."""
        try:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise WherryError(f"cannot write to {self._path}: {error.strerror}") from None
        with locks.locked(self._path, shared=shared):
            yield

    def _file(self, name: str) -> str:
        return f"{self._path}/{name}.json"


def check_name(name: str) -> None:
    """UsageError where no network can be called so."""
    if name in BUILT_IN:
        raise UsageError(f"a network cannot be called {name}: wherry has one of that name already")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"invalid network name: {name!r}",
            hint="a name has letters, digits, _ . - and begins with a letter or a digit",
        )


def decoded(document: Any) -> Network:
    """From JSON; Corrupt where it is no network."""
    import ipaddress  # its 3 ms are for those who have networks

    network = values.decode(Network, document)
    try:
        for subnet in network.subnets:
            ipaddress.ip_network(subnet.cidr)
            ipaddress.ip_address(subnet.gateway)
    except ValueError as error:
        raise Corrupt(f"not a network: {error}") from None
    return network
