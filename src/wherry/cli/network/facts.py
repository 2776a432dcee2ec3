"""Networks as `network ls` and `inspect` show them, those that are always there among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from wherry.base import labels
from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.networkusers import users
from wherry.networks.definition import Network, Networks
from wherry.ui.units import rfc3339

_BUILT_IN = {"default": "private", "host": "host", "none": "null"}
"""Their drivers. The one of `default` is no bridge: each container has a network of its own."""

_NEVER = "0001-01-01T00:00:00Z"


class Facts(NamedTuple):
    """`network` is None for one that is always there; `members` are the containers that belong to it."""

    id: str
    name: str
    driver: str
    network: Network | None = None
    members: tuple[Container, ...] = ()

    def has_label(self, word: str) -> bool:
        return labels.have(self.network.labels if self.network else (), [word])

    @property
    def is_made(self) -> bool:
        return self.network is not None

    @property
    def created(self) -> str:
        return rfc3339(self.network.created) if self.network else _NEVER

    @property
    def has_ipv6(self) -> bool:
        return self.network is not None and len(self.network.subnets) > 1


def all_networks(root: str) -> list[Facts]:
    """In the order of their names."""
    known = users(root)
    made = [_made(network, known.get(network.name, [])) for network in Networks(root).all()]
    return sorted([*made, *_built_in()], key=lambda one: one.name)


def find(root: str, text: str) -> Facts:
    """By name, ID or the beginning of an ID; NotFound where there is none."""
    wanted = "default" if text == "bridge" else text
    for one in _built_in():
        if one.name == wanted or (len(text) >= 12 and one.id.startswith(text)):
            return one
    network = Networks(root).find(text)
    return _made(network, users(root).get(network.name, []))


def document(facts: Facts) -> dict[str, Any]:
    """As docker's API describes it; the containers are those that run."""
    network = facts.network
    return {
        "Name": facts.name,
        "Id": facts.id,
        "Created": facts.created,
        "Scope": "local",
        "Driver": facts.driver,
        "EnableIPv4": facts.name not in ("host", "none"),
        "EnableIPv6": facts.has_ipv6,
        "IPAM": {"Driver": "default", "Options": {}, "Config": _subnets(network)},
        "Internal": network is not None and network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {one.id: place for one in facts.members if (place := _place(one, facts.id))},
        "Options": {"mtu": str(network.mtu)} if network and network.mtu else {},
        "Labels": dict(network.labels) if network else {},
    }


def _made(network: Network, members: list[Container]) -> Facts:
    return Facts(network.id, network.name, "bridge", network, tuple(members))


def _built_in() -> Iterator[Facts]:
    """Their IDs are the same everywhere."""
    for name, driver in _BUILT_IN.items():
        yield Facts(hashlib.sha256(f"wherry network {name}".encode()).hexdigest(), name, driver)


def _subnets(network: Network | None) -> list[dict[str, str]]:
    return [
        {"Subnet": one.cidr, **({"IPRange": one.pool} if one.pool else {}), "Gateway": one.gateway}
        for one in (network.subnets if network else ())
    ]


def _place(container: Container, network: str) -> dict[str, str] | None:
    """Where a running container is on the network with that ID."""
    for place in container.state.places:
        if place.id == network:
            addresses = [*place.addresses, ""]
            return {
                "Name": container.spec.name,
                "EndpointID": hashlib.sha256(f"{container.id} {network}".encode()).hexdigest(),
                "MacAddress": place.mac,
                "IPv4Address": addresses[0],
                "IPv6Address": addresses[1],
            }
    return None
