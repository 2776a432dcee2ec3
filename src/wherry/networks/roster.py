"""Who is on which network: the addresses that are given, and the names by which they are found."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.networks.definition import Network
from wherry.networks.subnets import Address, free_address, own_address


class Endpoint(NamedTuple):
    """A container's place on a network. `addresses` are IPv4, then IPv6; `names` are in small letters, `port`
    is the bridge's device that leads to it."""

    container: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    port: str


class Segment:
    """One network with all who are on it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.endpoints: dict[str, Endpoint] = {}
        """By the container's ID."""
        self._last: dict[int, Address] = {}

    def addresses(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """An address of each subnet: the one of `wanted` that is in it, or a free one.

        UsageError for an address that is in none, WherryError where it is taken.
        """
        taken = self._taken()
        found = []
        left = list(wanted)
        for subnet in self.network.subnets:
            whole = ipaddress.ip_network(subnet.cidr)
            mine = [text for text in left if ipaddress.ip_address(text).version == whole.version]
            if mine:
                left.remove(mine[0])
                address = own_address(subnet, mine[0], "--ip" if whole.version == 4 else "--ip6")
                if str(address) in taken:
                    raise WherryError(f"{address} is in use on the network {self.network.name} already")
            else:
                address = free_address(subnet, lambda one: str(one) in taken, self._last.get(whole.version))
                self._last[whole.version] = address
            found.append(str(address))
        if left:
            raise WherryError(
                f"the network {self.network.name} has no IPv6 addresses: {left[0]} cannot be given",
                hint="`wherry network create --ipv6` makes one that has",
            )
        return tuple(found)

    def holder(self, address: str) -> Endpoint | None:
        return next((one for one in self.endpoints.values() if address in one.addresses), None)

    def addresses_of(self, name: str) -> list[str]:
        """Of all that are called so."""
        return [text for one in self.endpoints.values() if name in one.names for text in one.addresses]

    def _taken(self) -> set[str]:
        return {text for one in self.endpoints.values() for text in one.addresses}


class Roster:
    """All networks that anybody is on, by their IDs."""

    def __init__(self) -> None:
        self.segments: dict[str, Segment] = {}

    def of(self, container: str) -> list[Segment]:
        """The networks of a container, in the order in which it came to them."""
        return [one for one in self.segments.values() if container in one.endpoints]

    def addresses_at(self, container: str, network: str) -> tuple[str, ...]:
        """What a container has on the network with that ID; none where it is not on it."""
        segment = self.segments.get(network)
        endpoint = segment.endpoints.get(container) if segment else None
        return endpoint.addresses if endpoint else ()

    def addresses_of(self, container: str, name: str) -> list[str] | None:
        """What `name`, or `name.network`, means on a container's networks; None where it is nobody's."""
        segments = self.of(container)
        for segment in segments:
            if found := segment.addresses_of(name):
                return found
        head, _, network = name.rpartition(".")
        for segment in segments:
            if head and segment.network.name.lower() == network and (found := segment.addresses_of(head)):
                return found
        return None

    def name_of(self, container: str, address: str) -> str | None:
        """The name that goes with an address on a container's networks, "" where the address is nobody's;
        None for an address of elsewhere."""
        for segment in self.of(container):
            if not _contains(segment.network, address):
                continue
            holder = segment.holder(address)
            return f"{holder.names[0]}.{segment.network.name}" if holder else ""
        return None


def spoken(names: Iterable[str]) -> tuple[str, ...]:
    """Names as they are looked up: in small letters, each once; none that DNS has no way to write."""
    return tuple(dict.fromkeys(name.lower() for name in names if _may_be_asked(name)))


def _may_be_asked(name: str) -> bool:
    """RFC 1035, section 2.3.4; a network's name may come behind it."""
    return name.isascii() and len(name) < 120 and all(0 < len(label) < 64 for label in name.split("."))


def _contains(network: Network, address: str) -> bool:
    wanted = ipaddress.ip_address(address)
    return any(wanted in ipaddress.ip_network(subnet.cidr) for subnet in network.subnets)
