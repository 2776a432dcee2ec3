"""Which addresses a new network gets, and which of them a container does."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from wherry.base.errors import UsageError, WherryError
from wherry.networks.definition import Network, Subnet

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network

# As podman has it: docker's own, 172.17.0.0/16 and so on, may be in use on the same machine.
_FREE = ipaddress.IPv4Network("10.89.0.0/16")
_MORE = ipaddress.IPv4Network("10.90.0.0/15")
_SIZE = 24


def chosen(
    cidrs: Sequence[str],
    gateways: Sequence[str],
    pools: Sequence[str],
    networks: Iterable[Network],
    *,
    ipv6: bool = False,
) -> tuple[Subnet, ...]:
    """The subnets of a new network, from what a user said; UsageError where that cannot be.

    `gateways` and `pools` belong to the subnets that they are in. Where none of a family is given, a free one
    is taken: of IPv4 always, of IPv6 with `ipv6`.
    """
    taken = [ipaddress.ip_network(subnet.cidr) for network in networks for subnet in network.subnets]
    ranges = [_range(text, "--subnet") for text in cidrs]
    if [one.version for one in ranges] not in ([], [4], [6], [4, 6], [6, 4]):
        raise UsageError("a network has one --subnet of IPv4, and may have one of IPv6")
    for one in ranges:
        for other in taken:
            if one.overlaps(other):
                raise WherryError(
                    f"--subnet {one}: {other} is another network's, and shares addresses with it"
                )
    if not any(one.version == 4 for one in ranges):
        ranges.append(_free([*taken, *_routes()]))
    if ipv6 and not any(one.version == 6 for one in ranges):
        ranges.append(_unique_local())
    ranges.sort(key=lambda one: one.version)
    places = [_address(text, "--gateway") for text in gateways]
    parts = [_range(text, "--ip-range") for text in pools]
    _check_homes("--gateway", gateways, [[place in one for one in ranges] for place in places])
    _check_homes("--ip-range", pools, [[_is_within(part, one) for one in ranges] for part in parts])
    return tuple(
        Subnet(
            str(one),
            str(next((place for place in places if place in one), one[1])),
            str(next((part for part in parts if _is_within(part, one)), "")),
        )
        for one in ranges
    )


def free_address(subnet: Subnet, taken: Callable[[Address], bool], after: Address | None) -> Address:
    """The next address behind `after` that nobody has, going round: one that was given back rests for long.

    WherryError where there is none.
    """
    pool = ipaddress.ip_network(subnet.pool or subnet.cidr)
    whole = ipaddress.ip_network(subnet.cidr)
    gateway = ipaddress.ip_address(subnet.gateway)
    first, count = int(pool[0]), min(pool.num_addresses, 1 << 20)
    start = int(after) - first + 1 if after is not None and after in pool else 0
    for number in range(count):
        address = pool[(start + number) % count]
        is_reserved = address == whole[0] or (whole.version == 4 and address == whole[-1])
        if not is_reserved and address != gateway and not taken(address):
            return address
    raise WherryError(f"the network has no free address left in {pool}")


def own_address(subnet: Subnet, text: str, option: str) -> Address:
    """The address that was asked for; UsageError where no container can have it."""
    address = _address(text, option)
    whole = ipaddress.ip_network(subnet.cidr)
    if address not in whole:
        raise UsageError(f"{option} {text}: the network's addresses are {whole}")
    if text == subnet.gateway or address == whole[0] or (whole.version == 4 and address == whole[-1]):
        raise UsageError(f"{option} {text}: no container can have this address of {whole}")
    return address


def hardware_address(address: Address) -> bytes:
    """The MAC address for an IP address, as docker makes it: who gets the same again is found at once."""
    return b"\x02\x42" + address.packed[-4:]


def parse_hardware_address(text: str) -> bytes:
    parts = text.replace("-", ":").split(":")
    try:
        value = bytes(int(part, 16) for part in parts if len(part) == 2)
    except ValueError:
        value = b""
    if len(value) != 6 or len(parts) != 6:
        raise UsageError(f"invalid MAC address: {text!r}", hint="write six pairs, such as 02:42:ac:11:00:02")
    if value[0] & 1 or value == bytes(6):
        raise UsageError(f"invalid MAC address: {text!r} is no single device's")
    return value


def _range(text: str, option: str) -> Range:
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        raise UsageError(
            f"invalid {option} {text}", hint="write the first address and the prefix, such as 10.5.0.0/24"
        ) from None
    if option == "--subnet" and found.num_addresses < 4:
        raise UsageError(f"invalid {option} {text}: it is too small for a network")
    return found


def _address(text: str, option: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"invalid IP address: {option} {text}") from None


def _check_homes(option: str, words: Sequence[str], homes: Sequence[list[bool]]) -> None:
    """Each is in one of the subnets, and none has two; `homes` says for each which it is in."""
    for word, found in zip(words, homes, strict=True):
        if True not in found:
            raise UsageError(f"{option} {word} is in no --subnet of this network")
    if len({found.index(True) for found in homes}) < len(homes):
        raise UsageError(f"a --subnet has one {option}")


def _is_within(part: Range, whole: Range) -> bool:
    return (
        part.version == whole.version
        and part.network_address in whole
        and part.broadcast_address in whole
    )  # fmt: skip


def _free(taken: Sequence[Range]) -> IPv4Network:
    for field in (_FREE, _MORE):
        for one in field.subnets(new_prefix=_SIZE):
            if not any(one.overlaps(other) for other in taken):
                return one
    raise WherryError("no range of addresses is free for a network", hint="choose one with --subnet")


def _unique_local() -> IPv6Network:
    """A random one of everyone's own (RFC 4193, section 3.2.2)."""
    return ipaddress.IPv6Network((b"\xfd" + os.urandom(5) + bytes(10), 64))


def _routes() -> Iterator[Range]:
    """The IPv4 networks that this machine knows a way to, but for the rest of the world."""
    try:
        with open("/proc/net/route", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return
    for row in rows:
        address, mask = (socket.inet_ntoa(struct.pack("=I", int(row[column], 16))) for column in (1, 7))
        if mask != "0.0.0.0":
            yield IPv4Network(f"{address}/{mask}", strict=False)


def interfaces(network: Network, addresses: Sequence[str]) -> list[IPv4Interface | IPv6Interface]:
    """Addresses of a network's, in the order of its subnets, with the lengths of their prefixes."""
    return [
        ipaddress.ip_interface(f"{address}/{ipaddress.ip_network(subnet.cidr).prefixlen}")
        for address, subnet in zip(addresses, network.subnets, strict=True)
    ]
